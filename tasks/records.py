"""The small frozen records that stages hand on: places, hashes, counts, scores. Never frames.

Every record knows where its files lie (`place`, relative to the storage root) and the hash of
what it holds (`hash`); the stage that comes next names its own work by that hash.
"""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

Metric = Literal["mae", "rmse", "r2"]
Outcome = Literal["pass", "fail", "insufficient evidence", "needs approval"]


class Record(BaseModel):
    """What a finished stage hands on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str = ""
    """The folder of its files, relative to the storage root."""
    hash: str = ""
    """SHA-256 over the checksums of its files and the rest of the record."""

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return ""


class Snapshot(Record):
    """`rows.parquet`: the query's rows in order of the key, numbered by `_row`."""

    rows: int
    columns: dict[str, str]
    """Arrow types by column."""
    source: str
    """SHA-256 of the source file's bytes."""

    @property
    def summary(self) -> str:
        return f"{self.rows:,} rows, {len(self.columns)} columns"


class Reason(Record):
    """Why rows were quarantined: one broken row-level expectation."""

    expectation: str
    """The expectation in words: `wind_speed between 0 and 200`."""
    rows: int
    examples: tuple[str, ...] = ()
    """Up to three offending values, with the row's key."""


class Checked(Record):
    """`quarantine.parquet` (rows with `_row` and `_reasons`), `validation.json`, `data_docs/`."""

    snapshot: Snapshot
    rows: int
    """Rows that are left for the next stages."""
    quarantined: int
    reasons: tuple[Reason, ...] = ()
    expectations: int
    """How many expectations were checked."""
    breaches: tuple[str, ...] = ()
    """Broken expectations that stop the run; empty when the data holds the contract."""

    @property
    def summary(self) -> str:
        state = f"{len(self.breaches)} broken" if self.breaches else "all hold"
        return f"{self.expectations} expectations, {state}; {self.quarantined:,} rows quarantined"


class Fold(Record):
    """One division of the rows. Its files lie in `fold_<index>/` of the shards."""

    index: int
    rows: dict[str, int]
    """Rows by split, and `gap` for those left out between two splits."""
    inputs: int
    """The width of the network's input."""
    constant: tuple[str, ...] = ()
    """Columns that do not vary in the train rows; scaled by 1."""


class Shards(Record):
    """`splits.parquet` (`_row`, `fold_<i>`), and per fold `preprocessing.json` and
    `<split>.parquet` with scaled float32 columns `x/…`, `y/…` and `weight`."""

    checked: Checked
    folds: tuple[Fold, ...]
    targets: tuple[str, ...]

    @property
    def summary(self) -> str:
        fold = self.folds[0]
        rows = ", ".join(f"{s} {n:,}" for s, n in fold.rows.items())
        return f"{fold.inputs} inputs; {rows}"


class Candidate(Record):
    """`bundle/`: what predicts raw rows in the targets' units. `curves.json`: per member and
    epoch the losses. `layers.json`: per member and layer how many weights are next to nothing.
    `control/`: a bundle of a network per target, where the contract asks for a control."""

    shards: Shards
    members: int
    parameters: int
    epochs: int
    best_epoch: int
    validation_loss: float
    train_seconds: float
    device: str

    @property
    def summary(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.epochs} epochs, best {self.best_epoch}, "
            f"validation loss {self.validation_loss:.4f}"
        )


class Score(Record):
    """One model's error on one target in one fold's test rows, in the target's unit."""

    fold: int
    model: str
    """candidate, champion, independent (the control), mean, persistence or ridge."""
    target: str
    rows: int
    """Test rows on which the target is observed."""
    mae: float
    rmse: float
    r2: float | None
    """None where the target does not vary in the test rows."""
    skill: dict[str, float]
    """By baseline: 1 - rmse / the baseline's rmse."""


class ConstraintCount(Record):
    """In how many of a fold's test rows one model's predictions break a constraint."""

    fold: int
    model: str
    constraint: str
    """As the contract says it."""
    rows: int
    """Test rows that have all features of the constraint and an answer to its targets."""
    broken: int


class Scores(Record):
    """`predictions.parquet`: `_row`, `fold`, per target `truth/…`, `<model>/…` in units."""

    candidate: Candidate
    scores: tuple[Score, ...]
    constraints: tuple[ConstraintCount, ...] = ()
    """Per fold, model and constraint that names a target."""
    champion: str | None = None
    """The registry version that the candidate was compared with."""
    as_of: str | None = None
    """The day or moment that the run was made as of, in ISO 8601: the champion was then not
    today's, but the newest version as old as that. None: now."""
    champion_note: str = ""
    """Why a champion could not be compared, where there is one that could not."""

    def broken(self, model: str, constraint: str) -> tuple[int, int]:
        """Return in how many rows of all folds a model breaks a constraint, and of how many."""
        own = [c for c in self.constraints if (c.model, c.constraint) == (model, constraint)]
        return sum(c.broken for c in own), sum(c.rows for c in own)

    def of(self, model: str, target: str, metric: Metric) -> float | None:
        """Return the mean over folds of a model's metric, None where it is undefined."""
        found = [getattr(s, metric) for s in self.scores if (s.model, s.target) == (model, target)]
        known = [v for v in found if v is not None]
        return sum(known) / len(known) if known else None

    def of_group(self, model: str, targets: Iterable[str], metric: Metric) -> float | None:
        """Return a model's metric over targets that share a unit, None where one is undefined.

        The mean over the targets; for rmse the root of the mean of the squares.
        """
        values = [self.of(model, target, metric) for target in targets]
        known = [v for v in values if v is not None]
        if not values or len(known) < len(values):
            return None
        power = 2 if metric == "rmse" else 1
        return math.pow(sum(v**power for v in known) / len(known), 1 / power)

    @property
    def opponent(self) -> str:
        """What it was compared with, in words: as of a day that is no champion but a version."""
        return f"version {self.champion}" if self.as_of and self.champion else "champion"

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have scores, in the order they were scored."""
        return tuple(dict.fromkeys(s.model for s in self.scores))

    @property
    def summary(self) -> str:
        rows = max((s.rows for s in self.scores), default=0)
        return f"{', '.join(self.models)} on {rows:,} test rows"


class Ruling(Record):
    """What one rule says of one target, in numbers."""

    rule: str
    """The rule in words: `rmse at least 5% below persistence`."""
    target: str
    passed: bool
    blocks: bool
    """False where the target is minor or the rule says nothing here: a failure only warns."""
    value: float | None
    limit: float | None
    reason: str
    """One sentence with the numbers and the unit."""


class Verdict(Record):
    """`verdict.json`: the outcome and one ruling per rule and target."""

    scores: Scores
    outcome: Outcome
    rulings: tuple[Ruling, ...]

    @property
    def summary(self) -> str:
        failed = sum(not r.passed for r in self.rulings)
        return f"{self.outcome}: {len(self.rulings) - failed} of {len(self.rulings)} rulings hold"


class Publication(Record):
    """What the registry made of the verdict."""

    verdict: Verdict
    model: str
    version: str | None
    """The registered version; None where the gate blocked."""
    tracking_run: str
    """MLflow's id of the run that holds parameters, metrics and artifacts."""

    @property
    def as_of(self) -> str | None:
        """The day or moment that the run was made as of, in ISO 8601; None: now."""
        return self.verdict.scores.as_of

    @property
    def summary(self) -> str:
        if self.version is None:
            recorded = f"recorded as MLflow run {self.tracking_run[:8]}"
            return f"nothing {'kept' if self.as_of else 'published'}; {recorded}"
        if self.as_of:
            kept = f"{self.model} kept as version {self.version}, as of {self.as_of}"
            return f"{kept}; the champion stays"
        return f"{self.model} version {self.version}, alias champion"


class Run(Record):
    """A run folder: `run.json` (the manifest to repeat the run by), `report.html`,
    `contract.json`."""

    id: str
    dataset: str
    outcome: Literal["published", "blocked"]
    publication: Publication
    flow_run: str | None = None
    """Prefect's id of the flow run."""

    @property
    def summary(self) -> str:
        return f"run {self.id}"
