"""A trained network with ridge, kernel regression and trees beside it, each counted by its errors
on rows held out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.architecture import run_network
from tasks.learning.blending import blend_weights, stack_shares, steady_weights, without_idle
from tasks.learning.corrupt import input_ends
from tasks.learning.folds import FOLDS, divisions
from tasks.learning.kernels import LENGTHS, Kernel, fit_kernel
from tasks.learning.layout import Layout
from tasks.learning.linear import Linear, fit_ridge
from tasks.learning.networks.kernel import KernelRegression, exact
from tasks.learning.networks.parts import Between, Blend, Forest
from tasks.learning.shards import Arrays
from tasks.learning.stacked_trees import grow_stacked
from tasks.learning.trees import Trees, as_arrays, grow_boosted, grow_extra_trees

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
EXTRA_TREES, BOOSTED_TREES, FEWEST_BOOSTED = 200, 300, 100
PATIENCE = 50
"""So many boosted trees that bring nothing are the last."""
WORK = 1.2e7
"""Rows times inputs times trees, by fold, that boosting may take; fewer trees where it is more."""
MOST_NEAR = 1_500
"""Train and validation rows above which there is no kernel regression: its time grows by their
third power."""
LIMITING = threading.Lock()
"""Two that limit the threads of linear algebra at once would never give them all back."""
MARGIN = 1.0
"""How far beyond the train rows' values an answer may lie, in shares of their range."""


@dataclass(frozen=True)
class Part:
    """One part of a blend: what it said of rows held out, and what makes it a layer."""

    name: str
    said: Values
    layer: Callable[[Any], Any]
    """Takes the network's entry, returns the part's answer (rows, targets)."""


def blended(network: keras.Model, layout: Layout, beside: "Beside", groups: int) -> keras.Model:
    """Return a network of the members' form that answers with the blend of `groups` of members
    and the parts beside them."""
    folds, parts = beside.folds, beside.parts
    judged = np.logical_or.reduce([held for _, held in beside.cuts])
    members = np.split(run_network(network, beside.rows.inputs), groups, axis=1)
    said = np.stack([*(_held_out(m, folds) for m in members), *(p.said for p in parts)])
    known = (said[:, judged], beside.targets[judged], beside.weight[judged])
    if folds is not None and beside.ordered:
        weights = without_idle(steady_weights(*known, folds[judged]))
    else:
        weights = without_idle(blend_weights(*known))
    entry = keras.Input((layout.width,), name="inputs")
    used = [(p, w) for p, w in zip(parts, weights[groups:], strict=True) if w.any()]
    blend = Blend(groups, [p.name for p, _ in used], name="blend")
    answer = blend([network(entry), *(p.layer(entry) for p, _ in used)])
    blend.set(np.stack([*weights[:groups], *(w for _, w in used)]))
    if folds is not None and not beside.ordered:
        answer = _stacked(beside, entry, answer, np.einsum("pt,pnt->nt", weights, said), judged)
    within = Between(name="within")
    answer = within(answer)
    within.set(*_limits(beside.targets))
    return keras.Model(entry, answer, name="auto")


def _stacked(beside: "Beside", entry: Any, answer: Any, blend: Values, judged: Mask) -> Any:
    """Return a blend's answer with that of trees which see it, where rows held out are the better
    for it.

    `blend` (n, targets) is what it said of these; of rows in order of time they tell too little.
    """
    said, trees = grow_stacked(
        beside.rows.inputs, blend, beside.filled, beside.weight, beside.cuts, beside.seed + FOLDS
    )
    shares = stack_shares(*(a[judged] for a in (blend, said, beside.targets, beside.weight)))
    if shares is None:
        return answer
    mean = keras.layers.GlobalAveragePooling1D(name="blend_mean", dtype="float32")(answer)
    seen = keras.layers.Concatenate(name="seen_by_stack", dtype="float32")([entry, mean])
    stack = Blend(1, ["stacked_trees"], name="stack")
    out = stack([answer, _forest(trees, "stacked_trees")(seen)])
    stack.set(shares)
    return out


def _held_out(raw: Values, folds: NDArray[np.int64] | None) -> Values:
    """Return the mean (rows, targets) of the members that held each row out."""
    if folds is None:
        return np.asarray(raw.mean(axis=1))
    own = np.arange(raw.shape[1]) % FOLDS == folds[:, None]
    # A fold that no member held out is answered by all.
    own[~own.any(axis=1)] = True
    return np.asarray((raw * own[..., None]).sum(axis=1) / own.sum(axis=1)[:, None])


def _limits(targets: Values) -> tuple[Values, Values]:
    known = [c[np.isfinite(c)] for c in targets.T]
    low = np.array([c.min() if c.size else -np.inf for c in known])
    high = np.array([c.max() if c.size else np.inf for c in known])
    reach = np.where(np.isfinite(high - low), high - low, 0.0) * MARGIN
    return low - reach, high + reach


class Beside:
    """The parts beside the members; they need none of them, and so may be fitted while those are
    trained. What each says of a row, to be weighed by, it has not learned from that row.

    Without `folds` (rows,) the parts are fitted on what is not `validation`, and weighed on that.
    """

    def __init__(
        self,
        rows: Arrays,
        folds: NDArray[np.int64] | None,
        validation: Mask,
        ordered: bool,
        seed: int,
    ) -> None:
        self.rows, self.folds, self.ordered, self.seed = rows, folds, ordered, seed
        self.cuts = [(~validation, validation)] if folds is None else list(divisions(folds))
        self.targets = self.filled = rows.targets.astype(np.float64)
        self.weight = rows.weight.astype(np.float64)
        self.ends = input_ends(rows, beyond=1.0)
        self.inputs = np.clip(rows.inputs.astype(np.float64), *self.ends)
        self.every = self.cuts[0][0] if folds is None else np.ones(len(self.weight), bool)
        from threadpoolctl import threadpool_limits

        # More threads than processors that are free wait for one another, many times as long.
        with LIMITING, threadpool_limits(1, "blas"):
            self.parts = [self._ridge(), *self._kernel(), *self._trees()]

    def _ridge(self) -> Part:
        """Return ridge regression; missing targets are filled with what it says for the others.

        It is fitted on all rows: where inputs are about as many as rows, a fold fewer would be
        another regression. Of rows in no order it says what it would without each of them.
        """
        inputs, every = self.inputs, self.every
        whole = fit_ridge(inputs[every], self.targets[every], self.weight[every])
        missing = ~np.isfinite(self.targets)
        said = np.where(missing, 0.0, self.targets)
        if self.ordered or len(self.cuts) == 1:
            for fitted, held in self.cuts:
                own = fit_ridge(inputs[fitted], self.targets[fitted], self.weight[fitted])
                said[held] = own.predict(inputs[held])
        else:
            said = np.where(missing, 0.0, whole.left_out)
        self.filled = np.where(missing, whole.predict(inputs), self.targets)
        return Part("ridge", said, lambda entry: _linear(entry, whole, *self.ends))

    def _kernel(self) -> list[Part]:
        """Return kernel regression, where rows are few: fitted on all rows, with the length that is
        best for all, for its answers; on every fold's other rows for what it says of these."""
        if len(self.rows.weight) > MOST_NEAR or not exact():
            return []
        inputs, known = self.inputs, np.isfinite(self.targets)

        def fitted(own: Mask, lengths: tuple[float, ...]) -> Kernel:
            return fit_kernel(inputs[own], self.filled[own], self.weight[own], known[own], lengths)

        whole = fitted(self.every, LENGTHS)
        said = np.zeros_like(self.filled)
        for own, held in self.cuts:
            said[held] = fitted(own, (whole.length,)).predict(inputs[held])

        def layer(entry: Any) -> Any:
            within = Between(name="kernel_inputs")
            near = KernelRegression(*whole.shares.shape, name="kernel")
            answer = near(within(entry))
            within.set(*self.ends)
            near.set(whole)
            return answer

        return [Part("kernel", said, layer)]

    def _trees(self) -> list[Part]:
        """Return extra trees, and boosted trees where rows and inputs are few."""
        parts = [self._extra_trees()]
        count = int(min(BOOSTED_TREES, WORK / self.rows.inputs.size))
        if count >= FEWEST_BOOSTED:
            parts.append(self._boosted(count))
        return parts

    def _fitted(self, mask: Mask) -> tuple[Any, Values, Values]:
        return self.rows.inputs[mask], self.filled[mask], self.weight[mask]

    def _extra_trees(self) -> Part:
        count = -(-EXTRA_TREES // len(self.cuts))
        said, grown = np.zeros_like(self.targets), []
        for i, (fitted, held) in enumerate(self.cuts):
            model = grow_extra_trees(*self._fitted(fitted), count, self.seed + i)
            said[held] = model.predict(self.rows.inputs[held]).reshape(-1, said.shape[1])
            grown += model.estimators_
        share = 1 / len(grown)
        base = np.zeros(said.shape[1])
        return Part("extra_trees", said, _forest(as_arrays(grown, share, base), "extra_trees"))

    def _boosted(self, count: int) -> Part:
        """Return boosted trees, of each fold as many as are best over all rows held out; no more
        are grown when the last PATIENCE were none the better."""
        growing = [
            grow_boosted(*self._fitted(fitted), count, self.seed + i)
            for i, (fitted, _) in enumerate(self.cuts)
        ]
        judged = np.logical_or.reduce([held for _, held in self.cuts])
        steps, errors = [np.zeros(self.targets.shape)], np.zeros(0)
        for models in zip(*growing, strict=True):
            first = len(errors)
            more = np.zeros((len(models[0].trees) - first, *self.targets.shape))
            for model, (_, held) in zip(models, self.cuts, strict=True):
                more[:, held] = steps[-1][held] + model.steps(self.rows.inputs[held], first)
            gaps = (more[:, judged] - self.targets[judged]) ** 2
            errors = np.concatenate([errors, np.nansum(gaps, axis=(1, 2))])
            steps += list(more)
            kept = int(errors.argmin()) + 1
            if kept <= len(errors) - PATIENCE:
                break
        grown = [tree for model in models for tree in model.trees[:kept]]
        base = np.mean([m.base for m in models], axis=0)
        trees = as_arrays(grown, models[0].rate / len(models), base)
        return Part("boosted_trees", steps[kept], _forest(trees, "boosted_trees"))


def _linear(entry: Any, linear: Linear, low: Values, high: Values) -> Any:
    within = Between(name="ridge_inputs")
    dense = keras.layers.Dense(len(linear.bias), name="ridge", dtype="float32", trainable=False)
    answer = dense(within(entry))
    within.set(low, high)
    dense.set_weights([linear.kernel, linear.bias])
    return answer


def _forest(trees: Trees, name: str) -> Callable[[Any], Any]:
    def layer(entry: Any) -> Any:
        leaves, targets = trees.values.shape
        sizes = (len(trees.roots), len(trees.feature), leaves, targets, trees.depth)
        forest = Forest(*sizes, name=name)
        answer = forest(entry)
        forest.set(trees)
        return answer

    return layer
