"""TensorFlow: an epoch of several networks of one shape as one compiled call.

One network takes its epoch after another, in the variables of one trainee: their values lie in
stacks, one row a network, from which they are put in place and to which they go back.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from tasks.learning.alike import Dial, turned
from tasks.learning.errors import NotTogether
from tasks.learning.stacks import Epoch, Stack, Told, Work, averages_of, variables_of
from tasks.learning.trainee import Trainee


def epoch_of_many(trainee: Trainee, places: Sequence[Dial], inputs: int, filled: bool) -> Epoch:
    """Return what takes an epoch of networks whose shape is the trainee's.

    `filled`: there are rows that do not count.
    """
    trained, others, slots = variables_of(trainee)
    flat, averages = [*trained, *others, *slots], averages_of(trainee)

    def step(rows: Any, chosen: Any, count: Any = None) -> Any:
        x, y, weight = _taken(rows, chosen, inputs, count)
        with tf.GradientTape() as tape:
            output = trainee(x, training=True)
            loss = trainee.compute_loss(x, y, output, weight, training=True)
            scaled = trainee.optimizer.scale_loss(loss)
        trainee.optimizer.apply(tape.gradient(scaled, trained), trained)
        return loss

    def step_if_any(rows: Any, chosen: Any, count: Any) -> Any:
        if not filled:
            return step(rows, chosen)
        before = [v + 0 for v in flat]
        loss = step(rows, chosen, count)
        for variable, value in zip(flat, before, strict=True):
            variable.assign(tf.where(count > 0, variable, value))
        return loss

    def test(rows: Any, chosen: Any, count: Any = None) -> Any:
        x, y, weight = _taken(rows, chosen, inputs, count if filled else None)
        return trainee.compute_loss(x, y, trainee(x, training=False), weight, training=False)

    def one(mine: Any, rows: Any, other: Any) -> Any:
        state, values, best, train, tested = mine
        now, kept = state[: len(flat)], state[len(flat) :]
        for variable, value in zip(flat, now, strict=True):
            variable.assign(value)
        with turned(places, values):
            loss = _through(step, step_if_any, rows, train)
            now = [v + 0 for v in flat]
            for variable, i in zip(trained, averages, strict=False):
                variable.assign(slots[i])
            found = _through(test, test, other, tested)
        judged = [v + 0 for v in (*trained, *others)]
        kept = [tf.where(found < best, a, b) for a, b in zip(judged, kept, strict=True)]
        return [*now, *kept], loss, found

    def run(stack: Any, own: Any, order: Any, rows: Any, other: Any) -> Any:
        active, count = order

        def body(n: Any, stack: Any, loss: Any, found: Any) -> Any:
            i = active[n]
            mine = tf.nest.map_structure(lambda s: s[i], (stack, *own))
            new, *told = one(mine, rows, other)
            stack = [_put(s, i, v) for s, v in zip(stack, new, strict=True)]
            return n + 1, stack, _put(loss, i, told[0]), _put(found, i, told[1])

        none = tf.zeros(active.shape)
        start = (tf.constant(0), stack, none, none)
        return tf.while_loop(lambda n, *_: n < count, body, start)[1:]

    compiled = tf.function(run, jit_compile=True, autograph=False)
    concrete: Any = None

    def call(stack: Stack, work: Work) -> Told:
        nonlocal concrete
        *now, kept = stack
        parts = [*now, *kept]
        own = (
            [value for part in parts for value in part],
            work.own, work.order, work.rows, work.other,
        )  # fmt: skip
        arguments = tf.nest.map_structure(tf.convert_to_tensor, own)
        try:
            concrete = concrete or compiled.get_concrete_function(*arguments)
            out, loss, found = concrete(*arguments)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as fault:
            said = str(fault).strip().splitlines()[0]
            raise NotTogether(f"XLA cannot compile their epoch: {said}") from fault
        values = iter(out)
        trained, others, slots, *kept = ([next(values) for _ in part] for part in parts)
        return (trained, others, slots, kept), loss.numpy(), found.numpy()

    return call


def _through(take: Callable[..., Any], last: Callable[..., Any], rows: Any, own: Any) -> Any:
    """Take batches; return their mean loss."""
    whole, tail, counts, number = own
    total = tf.zeros(())
    if whole.shape[0]:

        def body(n: Any, total: Any) -> Any:
            return n + 1, total + take(rows, whole[n])

        total = tf.while_loop(lambda n, _: n < whole.shape[0], body, (tf.constant(0), total))[1]
        total *= whole.shape[1]
    for at in range(tail.shape[0]):
        loss = last(rows, tail[at], counts[at])
        total += tf.where(counts[at] > 0, tf.cast(counts[at], tf.float32) * loss, 0.0)
    return total / number


def _put(stack: Any, i: Any, value: Any) -> Any:
    """Return a stack with another row."""
    return ops.slice_update(stack, [i, *[0] * (len(stack.shape) - 1)], value[None])


def _taken(rows: Any, chosen: Any, inputs: int, count: Any) -> Any:
    """Return inputs, targets and weights of chosen rows, of which only so many count."""
    found = tf.gather(rows, chosen)
    weight = found[:, -1]
    if count is not None:
        size = chosen.shape[0]
        share = size / tf.cast(tf.maximum(count, 1), tf.float32)
        weight = weight * tf.where(tf.range(size) < count, share, 0.0)
    return found[:, :inputs], found[:, inputs:-1], weight
