"""The recipe that a retrain trains with: the best one of its budget of tuning, where it has one."""

from data_contracts.contract import Contract
from tasks.records import Shards
from tasks.tuning.result import Tuned, best_recipe
from tasks.tuning.tune import STAGE


def tunes(contract: Contract) -> bool:
    """Say whether a retrain of this contract tunes."""
    tuning = contract.tuning
    return tuning is not None and tuning.minutes is not None and tuning.found is None


def find(contract: Contract, shards: Shards) -> Contract | None:
    """Return the contract to train by; None where a retrain would have to tune first."""
    if not tunes(contract):
        return contract
    found = STAGE.find(contract, shards.hash)
    return None if found is None else with_best(contract, found)


def with_best(contract: Contract, found: Tuned) -> Contract:
    """Return the contract with the best recipe, if it is better, and where that is from."""
    assert contract.tuning is not None
    tuning = contract.tuning.model_copy(update={"found": f"{found.study}: {found.words}"})
    return contract.model_copy(update={"recipe": best_recipe(contract, found), "tuning": tuning})
