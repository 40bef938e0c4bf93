"""Many datasets: choose them, retrain each, and sum up. One's failure stops no other."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from prefect.states import Failed

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import contract_files, load_contract
from flows.engine import task_runner
from flows.explain import USAGE, explain
from flows.names import BLOCKED, KEPT, PUBLISHED, Stage
from flows.outcome import message
from flows.plan import finished
from flows.results import BLOCKED_CODE, CONTRACT, UP_TO_DATE, Result
from flows.worker import end_with_parent
from tasks.records import Run


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
    version = run.publication.version
    outcome = UP_TO_DATE if version else BLOCKED
    return Result(dataset, outcome, message(run), code=0 if version else BLOCKED_CODE)


@task(
    name="retrain-dataset",
    task_run_name="{dataset}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def retrain_one(
    dataset: str, overrides: list[str], as_of: date | None, from_stage: Stage | None
) -> Any:
    """Retrain one dataset as a flow run of its own, and return its Result."""
    from flows.retrain import retrain

    end_with_parent()
    start = time.monotonic()
    try:
        run = retrain(dataset, overrides, as_of, from_stage)
    except Exception as error:
        said, code = explain(error)
        result = Result(dataset, type(error).__name__, said, time.monotonic() - start, code)
        return Failed(message=said, data=result)
    return _result(dataset, run, time.monotonic() - start)


def _result(dataset: str, run: Run, seconds: float) -> Result:
    publication = run.publication
    if publication.version is None:
        return Result(dataset, BLOCKED, message(run), seconds, BLOCKED_CODE)
    outcome = KEPT if publication.as_of else PUBLISHED
    return Result(dataset, outcome, publication.summary, seconds)


def retrain_all(
    datasets: Sequence[str],
    parallel: int,
    tell: Callable[[Result], None],
    overrides: list[str],
    as_of: date | None = None,
    from_stage: Stage | None = None,
) -> list[Result]:
    """Retrain datasets, that many at once, and return their Results in the order they ended.

    tell: called with each Result as its dataset ends.
    A process that is killed takes its pool with it: what was lost is done again, one dataset at a
    time, so that the one at fault is found and takes no other along.
    """
    wish = (overrides, as_of, from_stage)
    done = _round(list(datasets), parallel, tell, *wish)
    for dataset in [d for d in datasets if d not in {r.dataset for r in done}]:
        found = _round([dataset], 1, tell, *wish)
        if not found:
            said = "its process was killed, twice: is there memory enough?"
            found = [Result(dataset, "Crashed", said, code=1)]
            tell(found[0])
        done += found
    return done


def _round(
    datasets: list[str], parallel: int, tell: Callable[[Result], None], *wish: Any
) -> list[Result]:
    """Return the Results of the datasets whose process lived to the end."""
    done = []
    flow = together.with_options(task_runner=task_runner(parallel))
    results: Any = flow(datasets, *wish)
    for result in results:
        done.append(result)
        tell(result)
    return done


@flow(name="retrain-all", persist_result=False)
def together(
    datasets: list[str], overrides: list[str], as_of: date | None, from_stage: Stage | None
) -> Iterator[Result]:
    """Retrain datasets side by side, each as a run of its own.

    Args:
        datasets: The names of their contracts.
        overrides: Changes to all contracts for these runs.
        as_of: Retrain as if on this day.
        from_stage: Do this stage and all later ones again.
    """
    futures = [retrain_one.submit(d, overrides, as_of, from_stage) for d in datasets]
    done = []
    for future in as_completed(futures):
        found = future.result(raise_on_failure=False)
        if isinstance(found, Result):
            done.append(found)
            yield found
    rows = [asdict(result) for result in done]
    create_table_artifact(table=rows, key="fleet", description="What came of each dataset")
