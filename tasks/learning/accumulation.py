"""Gradient accumulation: a step on a batch that memory does not hold, from the gradients of parts.

In: a backend's gradients of a part of a batch. Out: those of the whole batch: the mean over its
rows, however they are parted. A loss is a mean over rows of what each row adds, times its weight,
so a part counts by its rows. What sees a batch as a whole is another thing: batch normalization
normalizes within parts, and dropout draws anew in each.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

Slopes = Callable[[Any, Any], tuple[Any, list[Any]]]
"""Takes a state and positions of rows; returns the state after them and the gradients of the mean
loss of these rows, one a trainable variable, none of them None."""


def part_size(batch_size: int, parts: int) -> int:
    """Return the most rows of a part, where a batch comes in so many parts."""
    return -(-batch_size // parts)


def out_of_memory(error: BaseException) -> bool:
    """Say whether a fault is that of a backend, or of Python, whose memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    said = str(error)
    # JAX tells of it as an internal error where it was computing meanwhile.
    told = "RESOURCE_EXHAUSTED" in said or "Out of memory" in said
    return isinstance(error, RuntimeError) and told


def mean_gradients(
    slopes: Slopes, state: Any, chosen: Any, size: int, start: list[Any], unrolled: bool = False
) -> tuple[Any, list[Any]]:
    """Return the state and the mean gradients over the rows at `chosen`, `size` rows at a time.

    `start` is zeros, one a gradient. One part's gradients are in memory at once, and their sum.
    `unrolled` takes the parts without a loop of the backend's.
    """
    rows = int(chosen.shape[0])
    whole, rest = divmod(rows, size)

    def add(part: Any, state: Any, sums: Any, share: float) -> tuple[Any, list[Any]]:
        state, found = slopes(state, part)
        return state, [s + share * g for s, g in zip(sums, found, strict=True)]

    def body(number: Any, state: Any, sums: Any) -> tuple[Any, Any, list[Any]]:
        part = ops.slice(chosen, [number * size], [size])
        return number + 1, *add(part, state, sums, size / rows)

    sums = start
    if unrolled:
        for number in range(whole):
            _, state, sums = body(number, state, sums)
    elif whole:
        begin = ops.convert_to_tensor(0, dtype="int32")
        _, state, sums = ops.while_loop(
            lambda number, *_: number < whole, body, (begin, state, sums)
        )
    if rest:
        state, sums = add(chosen[whole * size :], state, sums, rest / rows)
    return state, sums
