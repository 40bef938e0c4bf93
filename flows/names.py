"""The names of stages, of flow runs and of their ends. Imports nothing dear."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from data_contracts.errors import ContractError, UnknownDataset
from data_contracts.loading import RUN_SUFFIX, load_contract

if TYPE_CHECKING:
    from tasks.records import Run

Stage = Literal[
    "ingest", "validate", "preprocess", "train", "evaluate", "judge", "publish", "report"
]
STAGES: tuple[Stage, ...] = get_args(Stage)

PUBLISHED, KEPT, BLOCKED, BREACH = "Published", "Kept", "Blocked", "Breach"
WAITING, REJECTED, HELD = "Waiting", "Rejected", "Held"
UNUSABLE, REFUSED = "Unusable", "Refused"
"""Names of final states. Kept: a passed version as of a day, which is no champion. Waiting: for
a person's approval, after which it is published by a run of its own. Held: a version whose model
failed its proof. Unusable: data that is missing, unreadable or too little. Refused: a contract that
cannot be used."""
DRIFT, DECAY = "polycast.drift", "polycast.decay"
"""Events of a dataset: inputs that moved, and errors that have grown."""
SUSPENDED = "Suspended"
"""Prefect's name for the state of a run that waits for its form to be answered."""


def dataset_name(parameters: Mapping[str, Any]) -> str:
    """Return the dataset of a run, whose parameter may also be a contract's path."""
    named = str(parameters["dataset"])
    if named.endswith(RUN_SUFFIX):
        with suppress(ContractError, UnknownDataset):  # the run itself tells what is wrong
            return load_contract(named).dataset
    return named.rsplit("/", 1)[-1].removesuffix(".yaml")


def resource(dataset: str) -> str:
    """Return the id by which events name a dataset."""
    return f"polycast.dataset.{dataset}"


def run_name(dataset: str, as_of: object = None) -> str:
    """Return the name of a retrain's run: the dataset, and today or the day that it is as of."""
    return f"{dataset}-{as_of or datetime.now(UTC).date()}"


def changes(
    overrides: Sequence[str], as_of: date | None = None, rebaseline: str | None = None
) -> list[str]:
    """Return all changes to the contract that a retrain is asked for, as overrides."""
    day = [f"source.as_of={as_of}"] if as_of else []
    # JSON is YAML: whatever stands in the reason is read back as text.
    why = (
        [f"gate.rebaseline={json.dumps(rebaseline, ensure_ascii=False)}"]
        if rebaseline is not None
        else []
    )
    return [*overrides, *day, *why]


def ending(run: "Run") -> str:
    """Return the name of the state that a run ends in."""
    if run.outcome == "published":
        return KEPT if run.publication.as_of else PUBLISHED
    endings = {"waiting": WAITING, "rejected": REJECTED, "blocked": BLOCKED, "held": HELD}
    return endings[run.outcome]


def message(run: "Run") -> str:
    """Return what became of the candidate, the rulings that failed, and how to decide."""
    failed = [r for r in run.publication.verdict.rulings if not r.passed]
    lines = [run.publication.summary, *(f"{r.target}: {r.reason}" for r in failed)]
    return "\n".join([*lines, how_to_decide(run.id)] if run.outcome == "waiting" else lines)


def how_to_decide(run: str) -> str:
    """Return what to type to decide of a run that waits."""
    return f'decide by `polycast approve {run}` or `polycast reject {run} --reason "…"`'
