"""Which version's weights training begins with today, for `training.start: champion`."""

import logging

from data_contracts.contract import Contract
from tasks import registry
from tasks.learning.news import told_by
from tasks.records import Shards, Verdict
from tasks.train import STAGE
from tasks.warm_start import SCRATCH

CHAMPION = "champion"
log = logging.getLogger("polycast")


def with_start(contract: Contract, shards: Shards) -> Contract:
    """Return the contract with a version's number in place of `training.start: champion`.

    That is the champion; or, where the champion is what this very contract makes of these shards
    with this version of Polycast, what it began with itself, so that nothing is trained twice.
    `scratch` where there is no champion yet.
    """
    if contract.training.start != CHAMPION:
        return contract
    version = _champion(contract)
    if version is None:
        log.info("starts from scratch: there is no champion yet", extra=told_by("train"))
        return began_with(contract, SCRATCH)
    file = registry.verdict_file(contract.registered_model, version)
    if file is not None:
        made = Verdict.model_validate_json(file.read_text("utf-8")).scores.candidate
        again = began_with(contract, made.start)
        if STAGE.place(again, shards.hash) == made.place:
            return again
    return began_with(contract, version)


def began_with(contract: Contract, start: str) -> Contract:
    """Return the contract with another `training.start`."""
    training = contract.training.model_copy(update={"start": start})
    return contract.model_copy(update={"training": training})


def _champion(contract: Contract) -> str | None:
    model, as_of = contract.registered_model, contract.source.as_of
    if as_of is None:
        found = registry.champion(model)
    else:
        found = registry.opponent_as_of(model, "", contract.dataset, as_of)
    return None if found is None else found.version
