"""How much each part of a blend counts: by target, from what the parts said of rows held out."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
TOGETHER = 200.0
"""How many rows a target's own weights must have to count as much as those of all together."""
LEAST = 0.02
"""A part that counts less than this for every target is left out."""
WORST, ROUNDS = 3, 20
"""A stretch of rows counts by this power of its error, found in so many rounds."""
EVEN = 1 / 3
"""The share of weights, where rows are in order of time, that parts have by their errors alone."""
GAIN = 1e-3
"""By what share a stack must lower the error of rows held out, for it to be kept."""


def blend_weights(parts: Values, targets: Values, weight: Values) -> Values:
    """Return weights (parts, targets), none negative, of what parts (parts, n, targets) said.

    A target's own weights are shrunk towards those of all targets together, more so where rows
    are few. Targets (n, targets) have NaN where missing.
    """
    known = np.isfinite(targets) & (weight[:, None] > 0)
    root = np.sqrt(weight)[:, None]
    goal = np.where(known, targets * root, 0.0)
    said = np.where(known, parts * root, 0.0)
    spread = np.sqrt(np.maximum((goal**2).sum(axis=0), 1e-12))
    gram = np.einsum("pnt,qnt->tpq", said / spread, said / spread)
    slope = np.einsum("pnt,nt->tp", said / spread, goal / spread)
    common = _solved(gram.mean(axis=0), slope.mean(axis=0))
    own = np.empty((len(parts), targets.shape[1]))
    for i, count in enumerate(known.sum(axis=0)):
        # Rows that all say the common weights stand beside the target's own.
        pull = TOGETHER / max(1, count)
        whole = gram.mean(axis=0) * pull
        own[:, i] = _solved(gram[i] + whole, slope[i] + whole @ common)
    return own


def steady_weights(
    parts: Values, targets: Values, weight: Values, stretches: NDArray[np.int64]
) -> Values:
    """Return weights (parts, targets) of which those stretches decide most that are answered worst.

    For rows in order of time, `stretches` (n,) of which were held out one by one: later rows are
    unlike those before, as the worst stretch is unlike the others. What is found so is drawn
    towards weights by the inverse of squared errors, which so few stretches lead astray less
    (Bates & Granger 1969, doi:10.2307/3008764; Diebold & Pauly 1990,
    doi:10.1016/0169-2070(90)90028-A).
    """
    names = np.unique(stretches)
    factor = np.ones(len(names))
    place = np.searchsorted(names, stretches)
    for _ in range(ROUNDS):
        found = without_idle(blend_weights(parts, targets, weight * factor[place]))
        answer = np.einsum("pt,pnt->nt", found, parts)[None]
        errors = np.array(
            [
                _squared_errors(answer[:, own], targets[own], weight[own]).sum()
                for own in (place == i for i in range(len(names)))
            ]
        )
        factor = (factor + (errors / max(errors.mean(), 1e-12)) ** WORST) / 2
    even = 1 / np.maximum(_squared_errors(parts, targets, weight), 1e-12)
    return np.asarray((1 - EVEN) * found + EVEN * even / even.sum(axis=0))


def stack_shares(blend: Values, stack: Values, targets: Values, weight: Values) -> Values | None:
    """Return the shares (2, targets) of a blend's answers (n, targets) and of a stack's.

    A stack has none of a target whose error it does not lower. None where it does not lower the
    error over targets by GAIN.
    """
    parts = np.stack([blend, stack])
    shares = without_idle(blend_weights(parts, targets, weight))
    both = np.einsum("pt,pnt->nt", shares, parts)
    before, after = _squared_errors(np.stack([blend, both]), targets, weight)
    better = after < before
    if not better.any():
        return None
    ratio = np.sqrt(np.divide(after, before, out=np.ones_like(after), where=better))
    if ratio.mean() > 1 - GAIN:
        return None
    return np.where(better, shares, np.array([[1.0], [0.0]]))


def _squared_errors(parts: Values, targets: Values, weight: Values) -> Values:
    """Return the mean squared error (parts, targets) of what parts (parts, n, targets) said."""
    known = np.where(np.isfinite(targets), weight[:, None], 0.0)
    gaps = np.where(np.isfinite(targets), parts - targets, 0.0)
    return np.asarray((gaps**2 * known).sum(axis=1) / np.maximum(known.sum(axis=0), 1e-12))


def without_idle(weights: Values) -> Values:
    """Return weights (parts, targets) with nothing for parts that hardly count."""
    idle = weights.max(axis=1) < LEAST
    kept = np.where(idle[:, None], 0.0, weights)
    return np.asarray(kept * (weights.sum(axis=0) / np.maximum(kept.sum(axis=0), 1e-12)))


def _solved(gram: Values, slope: Values) -> Values:
    """Return weights that sum to 1, none negative, with the least squared error."""
    from scipy.optimize import nnls

    count = len(gram)
    heavy = 1e3 * max(float(np.trace(gram)), 1e-12)
    whole = gram + heavy + 1e-9 * np.trace(gram) * np.eye(count)
    root = np.linalg.cholesky(whole)
    goal = np.linalg.solve(root, slope + heavy)
    found, _ = nnls(root.T, goal)
    return np.asarray(found / max(found.sum(), 1e-12))
