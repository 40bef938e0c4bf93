"""JAX: an epoch of several networks of one shape as one compiled call."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tasks.learning.alike import Dial, turned
from tasks.learning.stacks import Epoch, Stack, Told, Work, averages_of
from tasks.learning.trainee import Trainee


def epoch_of_many(
    trainee: Trainee,
    places: Sequence[Dial],
    inputs: int,
    filled: bool,
    side_by_side: bool | None = None,
) -> Epoch:
    """Return what takes an epoch of networks whose shape is the trainee's.

    `filled`: there are rows that do not count. `side_by_side`: all networks take each step at once;
    else one network takes its epoch after another. Left out, they do so where there is a GPU, which
    has not been measured. On 2 cores, milliseconds an epoch, after another and side by side: 16
    networks of 128-64 on 10,000 rows 326 and 336, three of 4 x 1024 on 2,048 rows 855 and 1,257,
    since the values of several wide networks do not fit into the cache; one alone takes 22 and 272.
    """
    if side_by_side is None:
        side_by_side = jax.default_backend() != "cpu"
    losses = jax.value_and_grad(trainee.compute_loss_and_updates, has_aux=True)
    averages = averages_of(trainee)
    measured = [v.value for v in trainee.metrics_variables]

    def loss_of(state: Any, x: Any, y: Any, weight: Any) -> Any:
        trained, others, slots = state
        return losses(
            trained, others, measured, x, y, weight, training=True, optimizer_variables=slots
        )

    def step(state: Any, rows: Any, chosen: Any, count: Any = None) -> Any:
        trained, others, slots = state
        x, y, weight = _taken(rows, chosen, inputs, count)
        (_, (loss, _, others, _)), found = loss_of(state, x, y, weight)
        trained, slots = trainee.optimizer.stateless_apply(slots, found, trained)
        return (list(trained), list(others), list(slots)), loss

    def test(state: Any, rows: Any, chosen: Any, count: Any = None) -> Any:
        trained, others, slots = state
        x, y, weight = _taken(rows, chosen, inputs, count)
        _, (loss, _, _, _) = trainee.compute_loss_and_updates(
            trained, others, measured, x, y, weight, training=False, optimizer_variables=slots
        )
        return state, loss

    def through(take: Any, state: Any, rows: Any, own: Any) -> Any:
        """Return the state after batches, and their mean loss."""
        whole, tail, counts, number = own
        total = jnp.zeros(())
        if whole.shape[0]:
            state, found = jax.lax.scan(lambda s, c: take(s, rows, c), state, whole)
            total = whole.shape[1] * jnp.sum(found)
        for at in range(tail.shape[0]):
            count = counts[at]
            before, (state, loss) = state, take(state, rows, tail[at], count if filled else None)
            if filled:
                keep = partial(jnp.where, count > 0)
                state = jax.tree.map(keep, state, before)
            total += jnp.where(count > 0, count * loss, 0.0)
        return state, total / number

    def one(mine: Any, rows: Any, other: Any) -> Any:
        own, values, best, train, tested = mine
        *state, kept = own
        with turned(places, values):
            state, loss = through(step, tuple(state), rows, train)
            trained, others, slots = state
            judged = [slots[i] for i in averages] or trained
            _, found = through(test, (judged, others, slots), other, tested)
        better = found < best
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), [judged, others], kept)
        return (*state, kept), loss, found

    def in_turn(stack: Any, own: Any, order: Any, rows: Any, other: Any) -> Any:
        active, count = order

        def body(n: Any, carry: Any) -> Any:
            stack, loss, found = carry
            i = active[n]
            mine = jax.tree.map(lambda s: s[i], (stack, *own))
            new, *told = one(mine, rows, other)
            stack = jax.tree.map(lambda s, v: s.at[i].set(v), stack, new)
            return stack, loss.at[i].set(told[0]), found.at[i].set(told[1])

        none = jnp.zeros(len(active))
        return jax.lax.fori_loop(0, count, body, (stack, none, none))

    def at_once(stack: Any, own: Any, order: Any, rows: Any, other: Any) -> Any:
        return jax.vmap(one, in_axes=(0, None, None))((stack, *own), rows, other)

    run = jax.jit(at_once if side_by_side else in_turn, donate_argnums=0)

    def call(stack: Stack, work: Work) -> Told:
        stack, loss, found = run(stack, work.own, work.order, work.rows, work.other)
        return stack, np.asarray(loss), np.asarray(found)

    return call


def _taken(rows: Any, chosen: Any, inputs: int, count: Any) -> Any:
    """Return inputs, targets and weights of chosen rows, of which only so many count."""
    found = rows.at[chosen].get(mode="promise_in_bounds")
    weight = found[:, -1]
    if count is not None:
        size = chosen.shape[0]
        share = size / jnp.maximum(count, 1)
        weight = weight * jnp.where(jnp.arange(size) < count, share, 0.0)
    return found[:, :inputs], found[:, inputs:-1], weight
