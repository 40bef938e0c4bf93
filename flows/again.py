"""Do finished work again, from a chosen stage on."""

from collections.abc import Iterator

from data_contracts.contract import Contract
from flows.names import STAGES, Stage
from flows.rival import find_rival, find_shards
from tasks import approvals, evaluate, ingest, judge, preprocess, publish, train, validate
from tasks.records import Candidate
from tasks.rival import rival_contract
from tasks.start import with_start
from tasks.storage import root_storage
from tasks.tuning import nightly


def forget(contract: Contract, start: Stage) -> list[Stage]:
    """Forget the finished work of a stage and of all later ones; return the stages forgotten.

    The next retrain does them again. Run folders stay as they are.
    Raises DataError where the source is missing.
    """
    gone: list[Stage] = []
    if start == "ingest":
        ingest.read_all(contract)
    for stage, place in list(_finished(contract)):
        if STAGES.index(stage) >= STAGES.index(start):
            root_storage().forget(place)
            gone.append(stage)
    return gone


def _finished(contract: Contract) -> Iterator[tuple[Stage, str]]:
    """Yield the stages that are finished for the data as they are now, and their places."""
    if (snapshot := ingest.find(contract)) is None:
        return
    yield "ingest", snapshot.place
    if (checked := validate.done(contract, snapshot)) is None:
        return
    yield "validate", checked.place
    if (shards := preprocess.STAGE.find(contract, checked.hash)) is None:
        return
    yield "preprocess", shards.place
    if (recipe := nightly.find(contract, shards)) is None:
        return
    contract = with_start(recipe, shards)
    if (candidate := train.STAGE.find(contract, shards.hash)) is None:
        return
    yield "train", candidate.place
    terms = rival_contract(contract, candidate)
    rival = find_rival(terms, candidate) if terms else None
    if terms:
        yield from rival_places(terms, candidate)
    if (scores := evaluate.find(contract, candidate, rival)) is None:
        return
    yield "evaluate", scores.place
    if (verdict := judge.find(contract, scores)) is None:
        return
    yield "judge", verdict.place
    if (verdict := approvals.find(contract, verdict)) is None:
        return
    if (publication := publish.STAGE.find(contract, verdict.hash)) is not None:
        yield "publish", publication.place


def rival_places(terms: Contract, candidate: Candidate) -> Iterator[tuple[Stage, str]]:
    """Yield what is finished of the champion's recipe on the candidate's folds."""
    shards, rival = find_shards(terms, candidate), find_rival(terms, candidate)
    if shards is not None and shards.place != candidate.shards.place:
        yield "preprocess", shards.place
    if rival is not None and rival.place != candidate.place:
        yield "train", rival.place
