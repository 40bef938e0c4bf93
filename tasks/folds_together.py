"""The networks of folds, trained in one call an epoch where they are of one shape.

In: a contract and the folders of its folds' shards. Out: a member and its curve for each fold that
was trained with others; every other is left to be trained alone: a fold that diverged or whose rows
are a step more than the others', and all of them where rows would take much memory or the contract
asks for what is done one by one. That depends on the shards and the contract, not on the moment, so
that a run that was killed goes on the way that it went.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from tasks.backends import backend

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.fit_many import Keepers
    from tasks.learning.fitting import Curve
    from tasks.learning.recovery import OnEpoch

log = logging.getLogger("polycast")

ROOM = 256 << 20
"""Bytes of all folds' rows at most. An epoch over more takes long enough that what lies between
two compiled calls counts for nothing."""


def folds_together(
    contract: Contract,
    places: Sequence[Path],
    tell: Callable[[int], "OnEpoch"],
    keepers: "Keepers",
    start: Any,
) -> "list[tuple[Member, Curve] | None]":
    """Return each fold's member and curve, None where it is to be trained alone.

    `places` are the folders of the folds' shards, named for them; `tell` returns who is told of a
    fold's epochs, by its position.
    """
    from tasks.learning.feeding import Held
    from tasks.learning.fit_many import Job, fit_together, why_in_turn
    from tasks.learning.fitting import finished
    from tasks.learning.layout import lay_out
    from tasks.learning.preprocessing import Preprocessing
    from tasks.learning.shards import read_shard

    alone: list[tuple[Member, Curve] | None] = [None] * len(places)
    if len(places) < 2:
        return alone
    why = why_in_turn(contract) or too_large(places)
    if why:
        log.info("the folds' networks are trained one by one for %s", why)
        return alone
    fitted, jobs = [], []
    for number, place in enumerate(places):
        own = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
        train, tested = (Held(read_shard(place / f"{s}.parquet")) for s in ("train", "validation"))
        layout = lay_out(contract, own, train.some, train.count)
        fitted.append(own)
        jobs.append(Job(place.name, contract, layout, train, tested, tell(number), start))
    found = fit_together(jobs, backend(), keepers)
    for number, (job, own, fit) in enumerate(zip(jobs, fitted, found, strict=True)):
        if isinstance(fit, Exception):
            raise fit
        if fit is not None:
            network, curve = fit
            member = finished(contract, own, job.layout, network, job.validation.some)
            alone[number] = member, curve
    return alone


def too_large(places: Sequence[Path]) -> str | None:
    """Return why the rows of networks, each by the folder of its shards, are not trained together;
    None where they may be."""
    from tasks.learning.shards import size

    files = [place / f"{s}.parquet" for place in places for s in ("train", "validation")]
    need = sum(4 * rows * columns for rows, columns in map(size, files))
    return f"rows of {need / 1e6:.0f} MB" if need > ROOM else None
