"""The names of stages, of flow runs and of their ends. Imports nothing dear."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from tasks.records import Run

Stage = Literal[
    "ingest", "validate", "preprocess", "train", "evaluate", "judge", "publish", "report"
]
STAGES: tuple[Stage, ...] = get_args(Stage)

PUBLISHED, KEPT, BLOCKED, BREACH = "Published", "Kept", "Blocked", "Breach"
"""Names of final states. Kept: a passed version as of a day, which is no champion."""


def dataset_name(parameters: Mapping[str, Any]) -> str:
    """Return the dataset of a run, whose parameter may also be a contract's path."""
    return str(parameters["dataset"]).rsplit("/", 1)[-1].removesuffix(".yaml")


def run_name(dataset: str, as_of: object = None) -> str:
    """Return the name of a retrain's run: the dataset, and today or the day that it is as of."""
    return f"{dataset}-{as_of or datetime.now(UTC).date()}"


def message(run: "Run") -> str:
    """Return what became of the candidate, and the rulings that failed."""
    failed = [r for r in run.publication.verdict.rulings if not r.passed]
    return "\n".join([run.publication.summary, *(f"{r.target}: {r.reason}" for r in failed)])
