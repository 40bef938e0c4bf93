"""What is done already: decided from manifests and the registry, before any server starts."""

from data_contracts.contract import Contract
from tasks import evaluate, ingest, judge, preprocess, publish, train, validate
from tasks.records import Publication, Run
from tasks.runs import latest


def finished(contract: Contract) -> Run | None:
    """Return the run that did all that a retrain would do now, or None.

    Raises DataError where the source is missing or known to break the contract.
    """
    publication = _publication(contract)
    last = latest(contract.dataset)
    if publication is None or last is None or not publish.stands(publication):
        return None
    return last if last.publication.place == publication.place else None


def _publication(contract: Contract) -> Publication | None:
    snapshot = ingest.find(contract)
    checked = snapshot and validate.find(contract, snapshot)
    shards = checked and preprocess.STAGE.find(contract, checked.hash)
    candidate = shards and train.STAGE.find(contract, shards.hash)
    if candidate is None:
        return None
    scores = evaluate.STAGE.find(contract, *evaluate.inputs(contract, candidate))
    verdict = scores and judge.STAGE.find(contract, scores.hash)
    return publish.STAGE.find(contract, verdict.hash) if verdict else None
