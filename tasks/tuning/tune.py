"""Tune: search within a budget, and keep what was found with a report."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from data_contracts.tuning import Tuning
from tasks.orchestration import markdown, stage_task
from tasks.records import Shards
from tasks.stage import Stage
from tasks.train import STAGE as TRAIN
from tasks.tuning.engines import Engine
from tasks.tuning.page import write_page
from tasks.tuning.result import Tuned, result_of, write_files
from tasks.tuning.search import Budget, search
from tasks.tuning.study import open_study
from tasks.tuning.tracking import track


@dataclass(frozen=True)
class Asked:
    """What a call asks for: a budget, and where trials run."""

    budget: Budget
    engine: Engine
    once: bool = False
    """Whether finished work on the same shards is taken as it is: so does a retrain."""


def tune_recipe(contract: Contract, shards: Shards, asked: Asked, folder: Path) -> Tuned:
    """Search, write the files of what was found into `folder`, and return the record."""
    study = open_study(contract, shards)
    search(study, asked.budget, asked.engine)
    found = result_of(study)
    write_files(study, found, folder)
    write_page(study, found, folder / "report.html")
    track(study, found, folder)
    return found


def _reads(contract: Contract) -> Any:
    """All that a trial reads, and the search."""
    tuning = (contract.tuning or Tuning()).model_dump(
        mode="json", exclude={"jobs", "gpus", "found"}
    )
    return [TRAIN.reads(contract), tuning]


STAGE = Stage("tune", "tuned", Tuned, __name__, _reads)


@stage_task
def tune(contract: Contract, shards: Shards, asked: Asked) -> Tuned:
    """Search for a better recipe, and show what was found."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    place = None if asked.once else f"tuned/{contract.dataset}/{stamp}"
    found = STAGE.run(
        contract,
        shards.hash,
        work=lambda folder: tune_recipe(contract, shards, asked, folder),
        place=place,
    )
    markdown(contract.dataset, "tuning", found.words, "The best recipe so far")
    return found
