"""Steps and tests that Keras takes one by one, where nothing is compiled; and means over parts."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tasks.learning.feeding import Matrix, Order
from tasks.learning.part_losses import without_parts
from tasks.learning.shards import of_matrix
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from tasks.learning.epochs import Losses, Stepping


def cut(order: Order, most: int) -> Iterator[Order]:
    """Yield the order in parts of `most` rows, of which the last may be smaller."""
    for start in range(0, len(order), most):
        yield order[start : start + most]


def mean_losses(parts: "Iterable[tuple[int, Losses]]") -> "Losses":
    """Return the mean losses of parts of so many rows."""
    sizes, losses = zip(*parts, strict=True)
    return {k: float(np.average([p[k] for p in losses], weights=sizes)) for k in losses[0]}


class OneByOne:
    """Steps and tests that Keras takes one by one."""

    def resident(self, matrix: Matrix) -> Matrix:
        """Return rows as they are."""
        return matrix

    def stepping(
        self, trainee: Trainee, batch_size: int, inputs: int, parts: int = 1
    ) -> "Stepping":
        """Return what takes training steps. Raises ValueError for a batch in parts."""
        if parts > 1:
            raise ValueError("a batch in parts needs a backend that compiles its steps")

        def take(*batch: Any, **options: Any) -> "Losses":
            return without_parts(trainee.train_on_batch(*batch, **options))

        return _by_batch(take, batch_size, inputs)

    def testing(self, trainee: Trainee, batch_size: int, inputs: int) -> "Stepping":
        """Return what tests rows."""
        return _by_batch(trainee.test_on_batch, batch_size, inputs)


def _by_batch(take: "Callable[..., Losses]", batch_size: int, inputs: int) -> "Stepping":
    def parts(rows: Matrix, order: Order) -> "Iterator[tuple[int, Losses]]":
        for chosen in cut(order, batch_size):
            x, y, weight = tensors(rows[chosen], inputs)
            losses = take(x, y, sample_weight=weight, return_dict=True)
            yield len(chosen), {name: float(value) for name, value in losses.items()}

    return lambda rows, order: mean_losses(parts(rows, order))


def tensors(rows: Matrix, inputs: int) -> Any:
    """Return inputs, targets and weights of rows."""
    arrays = of_matrix(rows, inputs)
    return tuple(
        keras.ops.convert_to_tensor(a) for a in (arrays.inputs, arrays.targets, arrays.weight)
    )
