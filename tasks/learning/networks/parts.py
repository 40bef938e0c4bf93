"""Layers of a blend: inputs made robust, trees, limits, and the sum of what parts say.

What they hold is fitted, not trained: weights that no step touches, set after they are built.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.networks.embeddings import BINS, quantile_edges, reaches

if TYPE_CHECKING:
    from tasks.learning.trees import Trees


class Fitted(keras.layers.Layer):
    """A layer whose weights are fitted before training."""

    def hold(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        """Return a weight that no step touches."""
        return self.add_weight(
            shape, "zeros", dtype=dtype, trainable=False, name=name, autocast=False
        )


@keras.saving.register_keras_serializable("polycast")
class RobustInputs(Fitted):
    """Inputs (rows, width) about their median in quartile ranges, bent smoothly towards 3.

    As in RealMLP (Holzmüller, Grinsztajn & Steinwart 2024, arXiv 2407.04491). Inputs that are no
    numbers stay as they are.
    """

    limit = 3.0

    def build(self, shape: Any) -> None:
        """Make the centre and the factor of each input."""
        self.center = self.hold("center", (shape[-1],))
        self.factor = self.hold("factor", (shape[-1],))

    def fit(self, inputs: np.ndarray, numeric: np.ndarray) -> None:
        """Fit on train rows (rows, width), of which the positions `numeric` are numbers."""
        center, factor = np.zeros(inputs.shape[1]), np.ones(inputs.shape[1])
        own = inputs[:, numeric]
        low, middle, high = np.quantile(own, [0.25, 0.5, 0.75], axis=0)
        reach = own.max(axis=0) - own.min(axis=0)
        size = np.where(high > low, high - low, reach / 2)
        center[numeric] = middle
        factor[numeric] = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
        self.center.assign(center)
        self.factor.assign(factor)

    def call(self, inputs: Any) -> Any:
        """Return inputs of the shape that came."""
        scaled = (ops.cast(inputs, "float32") - self.center) * self.factor
        return scaled / ops.sqrt(1.0 + ops.square(scaled / self.limit))

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape that came."""
        return shape


@keras.saving.register_keras_serializable("polycast")
class Reaches(Fitted):
    """How far each number reaches through each bin between its quantiles: piecewise-linear
    encoding (Gorishniy, Rubachev & Babenko 2022, arXiv 2203.05556), mixed by the next layer alone.

    (rows, numbers) to (rows, numbers * BINS).
    """

    def build(self, shape: Any) -> None:
        """Make the edges (numbers, BINS + 1)."""
        self.edges = self.hold("edges", (shape[-1], BINS + 1))

    def fit(self, numbers: np.ndarray) -> None:
        """Set the edges to the quantiles of train rows (rows, numbers)."""
        self.edges.assign(quantile_edges(numbers))

    def call(self, inputs: Any) -> Any:
        """Return 0 for a bin above the number, 1 for one below, and the part reached between."""
        reach = reaches(inputs, self.edges)
        return ops.reshape(reach, (-1, inputs.shape[-1] * BINS))

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, numbers * BINS)."""
        return (shape[0], shape[-1] * BINS)


@keras.saving.register_keras_serializable("polycast")
class SeenBy(keras.layers.Layer):
    """Inputs that some members see, (rows, some), before those that all see, (rows, others).

    Returns (rows, members, some + others), with zeros for what a member does not see.
    """

    def __init__(self, seeing: list[bool], **options: Any) -> None:
        super().__init__(**options)
        self.seeing = [bool(s) for s in seeing]

    def call(self, parts: Any) -> Any:
        """Return every member's inputs."""
        some, others = (ops.cast(part, self.compute_dtype) for part in parts)
        seeing = np.array(self.seeing, np.float32)[:, None]
        own = some[:, None] * ops.cast(seeing, self.compute_dtype)
        alike = others[:, None] * ops.cast(np.ones_like(seeing), self.compute_dtype)
        return ops.concatenate([own, alike], axis=-1)

    def compute_output_shape(self, shapes: Any) -> Any:
        """Return (rows, members, some + others)."""
        return (shapes[0][0], len(self.seeing), shapes[0][1] + shapes[1][1])

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "seeing": self.seeing}


@keras.saving.register_keras_serializable("polycast")
class MemberDropout(keras.layers.Layer):
    """Dropout of (rows, members, units) at a rate of each member's own."""

    def __init__(self, rates: list[float], **options: Any) -> None:
        super().__init__(**options)
        self.rates = [float(r) for r in rates]
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs, in training with some of them 0 and the others larger."""
        if not training:
            return inputs
        first, last = min(self.rates), max(self.rates)
        if first == last:
            return keras.random.dropout(inputs, last, seed=self.seed_generator)
        count = self.rates.count(first)
        some, others = inputs[:, :count], inputs[:, count:]
        if first:
            some = keras.random.dropout(some, first, seed=self.seed_generator)
        others = keras.random.dropout(others, last, seed=self.seed_generator)
        return ops.concatenate([some, others], axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape that came."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "rates": self.rates}


@keras.saving.register_keras_serializable("polycast")
class Between(Fitted):
    """Columns, the last axis, held between two limits each."""

    def build(self, shape: Any) -> None:
        """Make the limits."""
        self.low = self.hold("low", (shape[-1],))
        self.high = self.hold("high", (shape[-1],))

    def set(self, low: np.ndarray, high: np.ndarray) -> None:
        """Set the limits (columns,)."""
        self.low.assign(low)
        self.high.assign(high)

    def call(self, inputs: Any) -> Any:
        """Return values of the shape that came."""
        return ops.minimum(ops.maximum(ops.cast(inputs, "float32"), self.low), self.high)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape that came."""
        return shape


@keras.saving.register_keras_serializable("polycast")
class Forest(Fitted):
    """The sum of regression trees' answers: inputs (rows, width) to (rows, targets)."""

    def __init__(
        self, trees: int, nodes: int, leaves: int, targets: int, depth: int, **options: Any
    ) -> None:
        super().__init__(**options)
        self.trees, self.nodes, self.leaves = trees, nodes, leaves
        self.targets, self.depth = targets, depth

    def build(self, shape: Any) -> None:
        """Make the arrays of `tasks.learning.trees.Trees`."""
        self.roots = self.hold("roots", (self.trees,), "int32")
        self.base = self.hold("base", (self.targets,))
        self.values = self.hold("values", (self.leaves, self.targets))
        self.threshold = self.hold("threshold", (self.nodes,))
        for name in ("feature", "left", "right", "row"):
            setattr(self, name, self.hold(name, (self.nodes,), "int32"))

    def set(self, trees: "Trees") -> None:
        """Take grown trees."""
        for name in ("roots", "base", "values", "threshold", "feature", "left", "right", "row"):
            getattr(self, name).assign(getattr(trees, name))

    def call(self, inputs: Any) -> Any:
        """Return the trees' sum (rows, targets)."""
        exact = ops.cast(inputs, "float32")
        node = self.roots[None, :] + ops.zeros_like(exact[:, :1], dtype="int32")
        for _ in range(self.depth):
            own = ops.take_along_axis(exact, ops.take(self.feature, node), axis=1)
            below = own <= ops.take(self.threshold, node)
            node = ops.where(below, ops.take(self.left, node), ops.take(self.right, node))
        leaves = ops.take(self.values, ops.take(self.row, node), axis=0)
        return self.base + ops.sum(leaves, axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, targets)."""
        return (shape[0], self.targets)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        own = {"trees": self.trees, "nodes": self.nodes, "leaves": self.leaves}
        return {**super().get_config(), **own, "targets": self.targets, "depth": self.depth}


@keras.saving.register_keras_serializable("polycast")
class Blend(Fitted):
    """Groups of members (rows, groups * members, targets) and other parts (rows, targets) added.

    Returns (rows, members, targets): member by member the groups' and the other parts' sum. `names`
    says what the other parts are.
    """

    def __init__(self, groups: int, names: list[str], **options: Any) -> None:
        super().__init__(**options)
        self.groups, self.names = groups, list(names)

    def build(self, shapes: Any) -> None:
        """Make the weights (groups + other parts, targets)."""
        count = self.groups + len(shapes) - 1
        self.shares = self.hold("shares", (count, shapes[0][-1]))

    def told(self) -> dict[str, list[float]]:
        """Return each part's weights by target, those of all members together."""
        shares = np.asarray(ops.convert_to_numpy(self.shares), np.float64)
        members = shares[: self.groups].sum(axis=0)
        whole = np.concatenate([members[None], shares[self.groups :]]).round(4)
        return dict(zip(("networks", *self.names), whole.tolist(), strict=True))

    def set(self, shares: np.ndarray) -> None:
        """Set the weights (parts, targets)."""
        self.shares.assign(shares)

    def call(self, parts: Any) -> Any:
        """Return the members with the other parts' share in each: their mean is the blend."""
        members, *others = parts
        own, targets = members.shape[1] // self.groups, members.shape[2]
        grouped = ops.reshape(ops.cast(members, "float32"), (-1, self.groups, own, targets))
        whole = ops.sum(grouped * self.shares[: self.groups][:, None], axis=1)
        for i, other in enumerate(others):
            share = self.shares[self.groups + i]
            whole = whole + (ops.cast(other, "float32") * share)[:, None]
        return whole

    def compute_output_shape(self, shapes: Any) -> Any:
        """Return (rows, members, targets)."""
        return (shapes[0][0], shapes[0][1] // self.groups, shapes[0][2])

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "groups": self.groups, "names": self.names}
