"""What is done already: decided from manifests and the registry, before any server starts."""

from data_contracts.contract import Contract
from flows.rival import find_rival
from tasks import approvals, evaluate, ingest, judge, preprocess, publish, train, validate
from tasks.journal import mend
from tasks.records import Publication, Run
from tasks.rival import rival_contract
from tasks.runs import runs
from tasks.tuning import nightly


def finished(contract: Contract) -> Run | None:
    """Return the run that did all that a retrain would do now, or None.

    Raises DataError where the source is missing or known to break the contract.
    """
    mend(contract.registered_model)
    publication = _publication(contract)
    if publication is None or not publish.stands(publication):
        return None
    places = ((run, run.publication.place) for run in runs(contract.dataset))
    return next((run for run, place in places if place == publication.place), None)


def _publication(contract: Contract) -> Publication | None:
    if (snapshot := ingest.find(contract)) is None:
        return None
    if (checked := validate.find(contract, snapshot)) is None:
        return None
    if (shards := preprocess.STAGE.find(contract, checked.hash)) is None:
        return None
    if (terms := nightly.find(contract, shards)) is None:
        return None
    contract = terms
    if (candidate := train.STAGE.find(contract, shards.hash)) is None:
        return None
    other = rival_contract(contract, candidate)
    rival = find_rival(other, candidate) if other else None
    if other and rival is None:
        return None
    if (scores := evaluate.find(contract, candidate, rival)) is None:
        return None
    if (verdict := judge.find(contract, scores)) is None:
        return None
    if (verdict := approvals.find(contract, verdict)) is None:
        return None
    return publish.STAGE.find(contract, verdict.hash)
