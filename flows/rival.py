"""The champion's recipe on the folds that the candidate is judged by: found where it is done."""

from data_contracts.contract import Contract
from tasks import preprocess, train
from tasks.records import Candidate, Shards


def find_rival(terms: Contract, candidate: Candidate) -> Candidate | None:
    """Return the rival that was trained by its contract `terms`, None where it was not yet.

    Where both have one recipe, that is the candidate itself: nothing is trained twice.
    """
    shards = find_shards(terms, candidate)
    if shards is None:
        return None
    if train.STAGE.place(terms, shards.hash) == candidate.place:
        return candidate
    return train.STAGE.find(terms, shards.hash)


def find_shards(terms: Contract, candidate: Candidate) -> Shards | None:
    """Return the shards that the rival learns from, where they are made: often the candidate's."""
    checked = candidate.shards.checked.hash
    if preprocess.STAGE.place(terms, checked) == candidate.shards.place:
        return candidate.shards
    return preprocess.STAGE.find(terms, checked)
