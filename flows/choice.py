"""Which datasets are meant, and which of them have nothing to do. Imports no Prefect."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import contract_files, load_contract
from flows.explain import USAGE
from flows.names import ending, message
from flows.plan import finished
from flows.results import CONTRACT, UP_TO_DATE, Result, code_of


class NothingChosen(Exception):
    """No dataset fits what was asked for."""


def choose(where: Sequence[str]) -> tuple[list[str], list[Result]]:
    """Return the datasets that fit every condition, and results for unusable contracts.

    where: conditions such as tag=weather or dataset=nyc_*; all datasets where there are none.
    Raises NothingChosen, with the tags that there are.
    """
    chosen, unusable, tags = [], [], set[str]()
    for name, file in contract_files().items():
        try:
            contract = load_contract(str(file))
        except ContractError as error:
            unusable.append(Result(name, CONTRACT, str(error), code=USAGE))
            continue
        tags.update(contract.tags)
        if all(_fits(contract, condition) for condition in where):
            chosen.append(name)
    if not chosen and (where or not unusable):
        raise NothingChosen(
            f"no dataset fits {' and '.join(where) or 'here'}. Tags there are: "
            f"{', '.join(sorted(tags)) or 'none'}; polycast contracts lists the datasets"
        )
    return chosen, [] if where else unusable


def _fits(contract: Contract, condition: str) -> bool:
    key, _, wanted = condition.partition("=")
    if key == "tag":
        return any(fnmatchcase(tag, wanted) for tag in contract.tags)
    if key == "dataset":
        return fnmatchcase(contract.dataset, wanted)
    raise NothingChosen(f"--where {condition}: expected tag=… or dataset=…")


def up_to_date(
    datasets: Sequence[str], overrides: Sequence[str], tell: Callable[[Result], None]
) -> list[Result]:
    """Return the Results of datasets whose retrain would do nothing: no server is needed."""
    found = [r for d in datasets if (r := _nothing_to_do(d, overrides)) is not None]
    for result in found:
        tell(result)
    return found


def _nothing_to_do(dataset: str, overrides: Sequence[str]) -> Result | None:
    try:
        run = finished(load_contract(dataset, overrides))
    except Exception:  # the retrain comes to the same fault, and tells it
        return None
    if run is None:
        return None
    outcome = UP_TO_DATE if run.outcome == "published" else ending(run)
    return Result(dataset, outcome, message(run), code=code_of(run))
