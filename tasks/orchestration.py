"""Prefect's part in a stage: a task that retries only what a retry can mend, and artifacts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

F = TypeVar("F", bound=Callable[..., Any])


def may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether a retry can help: for a passing fault of disk or network, not for bad data."""
    return isinstance(state.result(raise_on_failure=False), OSError)


def stage_task(function: F) -> F:
    """Return the stage's Prefect task, named and tagged for the function."""
    decorated: F = task(
        name=function.__name__,
        tags=[function.__name__],
        retries=2,
        retry_delay_seconds=[2, 10],
        retry_condition_fn=may_help,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)  # type: ignore[assignment]  # a Task is called as the function is
    return decorated


def table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Publish a table as an artifact of the running task."""
    create_table_artifact(
        table=[dict(r) for r in rows], key=artifact_key(key), description=description
    )


def markdown(key: str, text: str, description: str = "") -> None:
    """Publish Markdown as an artifact of the running task."""
    create_markdown_artifact(markdown=text, key=artifact_key(key), description=description)


def link(key: str, address: str, text: str) -> None:
    """Publish a link as an artifact of the running task."""
    create_link_artifact(link=address, link_text=text, key=artifact_key(key))


def artifact_key(key: str) -> str:
    """Return a key in the form that Prefect takes: lower-case letters, digits and dashes."""
    return key.lower().replace("_", "-")
