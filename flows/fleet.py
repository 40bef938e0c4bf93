"""Many datasets retrained side by side, each as a run of its own. One's failure stops no other."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from prefect.states import Failed

from flows.engine import asking, task_runner
from flows.explain import explain
from flows.names import Stage, ending, message
from flows.results import Result, code_of
from flows.worker import end_with_parent
from tasks.records import Run


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
    return Result(dataset, ending(run), message(run), seconds, code_of(run))


def retrain_all(
    datasets: Sequence[str],
    parallel: int,
    tell: Callable[[Result], None],
    overrides: list[str],
    as_of: date | None = None,
    from_stage: Stage | None = None,
    gpus: float = 0,
) -> list[Result]:
    """Retrain datasets, that many at once, and return their Results in the order they ended.

    tell: called with each Result as its dataset ends.
    gpus: how many each retrain gets, on a Ray cluster.
    A process that is killed takes its pool with it: what was lost is done again, one dataset at a
    time, so that the one at fault is found and takes no other along.
    """
    wish = (overrides, as_of, from_stage, gpus)
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
    datasets: list[str],
    overrides: list[str],
    as_of: date | None,
    from_stage: Stage | None,
    gpus: float,
) -> Iterator[Result]:
    """Retrain datasets side by side, each as a run of its own.

    Args:
        datasets: The names of their contracts.
        overrides: Changes to all contracts for these runs.
        as_of: Retrain as if on this day.
        from_stage: Do this stage and all later ones again.
        gpus: How many GPUs each retrain gets, on a Ray cluster.
    """
    with asking(gpus):
        futures = [retrain_one.submit(d, overrides, as_of, from_stage) for d in datasets]
    done = []
    for future in as_completed(futures):
        found = future.result(raise_on_failure=False)
        if isinstance(found, Result):
            done.append(found)
            yield found
    rows = [asdict(result) for result in done]
    create_table_artifact(table=rows, key="fleet", description="What came of each dataset")
