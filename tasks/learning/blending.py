"""How much each part of a blend counts: by target, from what the parts said of rows held out."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
TOGETHER = 200.0
"""How many rows a target's own weights must have to count as much as those of all together."""
LEAST = 0.02
"""A part that counts less than this for every target is left out."""


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
