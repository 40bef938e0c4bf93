"""Do finished work again, from a chosen stage on."""

from collections.abc import Iterator

from data_contracts.contract import Contract
from flows.names import STAGES, Stage
from tasks import evaluate, ingest, judge, preprocess, publish, train, validate
from tasks.storage import root_storage


def forget(contract: Contract, start: Stage) -> list[Stage]:
    """Forget the finished work of a stage and of all later ones; return the stages forgotten.

    The next retrain does them again. Run folders stay as they are.
    Raises DataError where the source is missing.
    """
    gone: list[Stage] = []
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
    if (checked := validate.STAGE.find(contract, snapshot.hash)) is None:
        return
    yield "validate", checked.place
    if (shards := preprocess.STAGE.find(contract, checked.hash)) is None:
        return
    yield "preprocess", shards.place
    if (candidate := train.STAGE.find(contract, shards.hash)) is None:
        return
    yield "train", candidate.place
    if (scores := evaluate.find(contract, candidate)) is None:
        return
    yield "evaluate", scores.place
    if (verdict := judge.STAGE.find(contract, scores.hash)) is None:
        return
    yield "judge", verdict.place
    if (publication := publish.STAGE.find(contract, verdict.hash)) is not None:
        yield "publish", publication.place
