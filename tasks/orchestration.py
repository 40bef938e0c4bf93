"""Prefect's part in a stage: a task that retries only what a retry can mend, and artifacts.

Prefect is imported when a stage runs: what is finished already is found without it. It takes two
seconds, and reads once, as it is imported, which server it reports to.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

from tasks.addresses import clean_error
from tasks.passing import passes

P = ParamSpec("P")
R = TypeVar("R")


def may_help(_task: "Task[Any, Any]", _run: "TaskRun", state: "State[Any]") -> bool:
    """Say whether a retry can help: for a passing fault of disk or network, not for bad data."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, Exception) and passes(error)


def stage_task(function: Callable[P, R]) -> Callable[P, R]:
    """Return the stage as a Prefect task, named and tagged for the function."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        result: R = _task(function)(*args, **kwargs)  # type: ignore[assignment]  # no coroutine
        return result

    return run


@cache
def _task(function: Callable[P, R]) -> "Task[P, R]":
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    return task(
        name=function.__name__,
        task_run_name=function.__name__,
        tags=[function.__name__],
        retries=4,
        retry_delay_seconds=[2, 10, 30, 60],
        retry_condition_fn=may_help,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_cleaned(function))


def _cleaned(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function so that no error of it holds a secret: Prefect keeps the traceback."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            clean_error(error)
            raise

    return run


STORY = (
    "snapshot",
    "validation",
    "splits",
    "training",
    "metrics",
    "groups",
    "distributions",
    "slices",
    "verdict",
    "publication",
    "model-card",
    "importance",
    "drift",
    "report",
    "prediction",
    "monitoring",
    "tuning",
)
"""The artifacts of a run in the order of its story: their keys are numbered so."""


def table(dataset: str, name: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Publish a table as an artifact of the running task. name: one of STORY."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(
        table=[dict(r) for r in rows], key=artifact_key(dataset, name), description=description
    )


def markdown(dataset: str, name: str, text: str, description: str) -> None:
    """Publish Markdown as an artifact of the running task. name: one of STORY."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(
        markdown=text, key=artifact_key(dataset, name), description=description
    )


def artifact_key(dataset: str, name: str) -> str:
    """Return a key in the form that Prefect takes: lower-case letters, digits and dashes."""
    return f"{dataset.lower().replace('_', '-')}-{STORY.index(name) + 1:02}-{name}"
