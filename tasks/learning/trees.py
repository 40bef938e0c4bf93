"""Regression trees for many targets at once, as plain arrays: extra trees and boosted trees.

scikit-learn grows them; nothing of it is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DEPTH, COLUMNS, ROWS = 6, 0.5, 0.8
"""Of boosting: the depth of a tree, and the shares that a split and a tree see."""
STEP = 25
"""After how many boosted trees is looked whether more are needed."""


@dataclass(frozen=True)
class Trees:
    """Trees whose answers add up, node by node, the trees one after the other.

    A row goes to `left` where its input `feature` is at most `threshold`, else to `right`. A leaf
    leads to itself; `row` is where its values (leaves, targets) stand.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    row: NDArray[np.int32]
    values: NDArray[np.float32]
    depth: int
    base: NDArray[np.float32]
    """What the trees' sum is added to (targets,)."""


def grow_extra_trees(inputs: Any, targets: Values, weight: Values, trees: int, seed: int) -> Any:
    """Return a fitted model of extra trees, of scikit-learn."""
    from sklearn.ensemble import ExtraTreesRegressor

    least = 1 if len(targets) < 500 else max(2, len(targets) // 4000)
    model = ExtraTreesRegressor(trees, min_samples_leaf=least, max_depth=24, random_state=seed)
    return model.fit(inputs, _flat(targets), sample_weight=weight)


@dataclass
class Boosted:
    """Trees that each learn what those before left over, added by a share."""

    base: Values
    trees: list[Any]
    rate: float
    """The share of each tree that is added."""

    def steps(self, inputs: NDArray[np.float32], first: int = 0) -> Values:
        """Return the answers (steps, n, targets) after every tree from `first` on, without what
        those before it add."""
        parts = [self.rate * _said(tree, inputs) for tree in self.trees[first:]]
        return (0.0 if first else self.base) + np.cumsum(parts, axis=0)


def grow_boosted(
    inputs: Any, targets: Values, weight: Values, trees: int, seed: int
) -> Iterator[Boosted]:
    """Yield boosted trees of all targets together, the same ones ever further grown: after every
    STEP trees, and after `trees`."""
    from sklearn.tree import DecisionTreeRegressor

    random = np.random.default_rng(seed)
    base = np.average(targets, axis=0, weights=weight)
    rate = min(0.1, max(0.05, 15 / trees))
    left, grown = targets - base, Boosted(base, [], rate)
    inputs = np.ascontiguousarray(inputs, np.float32)
    for i in range(trees):
        some = random.permutation(len(targets))[: max(2, int(ROWS * len(targets)))]
        tree = DecisionTreeRegressor(
            max_depth=DEPTH, max_features=COLUMNS, random_state=int(random.integers(1 << 31))
        )
        tree.fit(inputs[some], left[some], sample_weight=weight[some], check_input=False)
        left = left - rate * _said(tree, inputs)
        grown.trees.append(tree)
        if (i + 1) % STEP == 0 or i + 1 == trees:
            yield grown


def as_arrays(trees: Sequence[Any], share: float, base: Values) -> Trees:
    """Return grown trees as arrays; each one's answer counts by `share`."""
    parts: dict[str, list[NDArray[Any]]] = {
        n: [] for n in ("feature", "threshold", "left", "right", "row", "values")
    }
    roots, nodes, leaves, depth = [], 0, 0, 1
    for grown in trees:
        tree = grown.tree_
        leaf = tree.children_left < 0
        own = np.arange(tree.node_count)
        roots.append(nodes)
        parts["feature"].append(np.where(leaf, 0, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(np.where(leaf, own, tree.children_left) + nodes)
        parts["right"].append(np.where(leaf, own, tree.children_right) + nodes)
        parts["row"].append(np.where(leaf, np.cumsum(leaf) - 1 + leaves, 0))
        parts["values"].append(tree.value[leaf][:, :, 0] * share)
        nodes, leaves = nodes + tree.node_count, leaves + int(leaf.sum())
        depth = max(depth, tree.max_depth)
    whole = {name: np.concatenate(found) for name, found in parts.items()}
    # An input is float32: rounded down, a threshold divides such numbers as it did before.
    near = whole["threshold"].astype(np.float32)
    down = np.nextafter(near, np.float32(-np.inf))
    return Trees(
        roots=np.array(roots, np.int32),
        threshold=np.where(near > whole["threshold"], down, near),
        values=whole["values"].astype(np.float32),
        depth=depth,
        base=np.asarray(base, np.float32),
        **{name: whole[name].astype(np.int32) for name in ("feature", "left", "right", "row")},
    )


def _said(tree: Any, inputs: NDArray[np.float32]) -> Values:
    """Return a tree's answers (n, targets), with no look at the inputs, of which trees are many."""
    return np.asarray(tree.tree_.predict(inputs).reshape(len(inputs), -1))


def _flat(targets: Values) -> Values:
    """Return one target as scikit-learn wants it: without its axis."""
    return targets[:, 0] if targets.shape[1] == 1 else targets
