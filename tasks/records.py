"""The small frozen records that stages hand on: places, hashes, counts, scores. Never frames.

Every record knows where its files lie (`place`, relative to the storage root) and the hash of
what it holds (`hash`); the stage that comes next names its own work by that hash.
"""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.wording import rows_of

Metric = Literal["mae", "rmse", "r2", "rrmse", "bias", "max_error", "correlation", "crps"]
Outcome = Literal["pass", "fail", "insufficient evidence", "needs approval"]
RunOutcome = Literal["published", "held", "blocked", "waiting", "rejected"]


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
        return f"{rows_of(self.rows)}, {len(self.columns)} columns"


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
    released: int = 0
    """Rows that go on though they break an expectation, since somebody has released them."""
    reasons: tuple[Reason, ...] = ()
    expectations: int
    """How many expectations were checked."""
    breaches: tuple[str, ...] = ()
    """Broken expectations that stop the run; empty when the data holds the contract."""
    warnings: tuple[str, ...] = ()
    """Broken expectations that only warn."""
    newest: str | None = None
    """The time of the newest row, in ISO 8601, in UTC, where the contract asks how old it is."""

    @property
    def summary(self) -> str:
        broken = len(self.breaches) + len(self.warnings)
        state = f"{broken} broken" if broken else "all hold"
        warn = f", {len(self.warnings)} of them to warn" if self.warnings else ""
        return f"{self.expectations:,} expectations, {state}{warn}; {self.counted}"

    @property
    def counted(self) -> str:
        """The rows that are set aside, and those that are released."""
        rest = f", {self.released:,} released" if self.released else ""
        return f"{rows_of(self.quarantined)} quarantined{rest}"


REFIT = -1
"""The index of the division that a refit on all rows learns from."""


def fold_name(index: int) -> str:
    """Return the name of a division: its column in `splits.parquet`, its folder of shards."""
    return "refit" if index == REFIT else f"fold_{index}"


class Fold(Record):
    """One division of the rows. Its files lie in the folder `name` of the shards."""

    index: int
    """From 0, through the folds of each repeat; -1 for the refit, which has no test rows."""
    rows: dict[str, int]
    """Rows by split, and `gap` for those left out between two splits."""
    inputs: int
    """The width of the network's input."""
    constant: tuple[str, ...] = ()
    """Columns that do not vary in the train rows; scaled by 1."""
    infinite: dict[str, int] = {}
    """How many infinite values the train rows hold, by column; they count as missing."""

    @property
    def name(self) -> str:
        """`fold_<index>` or `refit`."""
        return fold_name(self.index)

    @property
    def oddities(self) -> str:
        """What is odd about columns of the train rows, in words to append."""
        still = f"; no variance in {', '.join(self.constant)}" if self.constant else ""
        counts = (f"{c} ({n:,})" for c, n in self.infinite.items())
        return still + (f"; infinite values in {', '.join(counts)}" if self.infinite else "")


class Shards(Record):
    """`splits.parquet` (`_row`, `fold_<i>`, and `refit` where there is one), and per division
    `preprocessing.json` and `<split>.parquet` with scaled float32 columns `x/…`, `y/…`, `weight`:
    a file, or a folder of files where there are many rows.

    A row's split is null in a fold that leaves it out, since it is later than its test rows."""

    checked: Checked
    folds: tuple[Fold, ...]
    """One, or those of each repeat of cross-validation, a repeat's side by side."""
    refit: Fold | None = None
    """All rows as train and validation, where cross-validation publishes a refit."""
    targets: tuple[str, ...]

    @property
    def divisions(self) -> tuple[Fold, ...]:
        """All folds, and the refit."""
        return (*self.folds, *([self.refit] if self.refit else []))

    @property
    def summary(self) -> str:
        fold = self.folds[0]
        rows = ", ".join(f"{s} {n:,}" for s, n in fold.rows.items())
        of = f" in the first of {len(self.folds)} folds" if len(self.folds) > 1 else ""
        return f"{fold.inputs} inputs; {rows}{of}{fold.oddities}"


class Candidate(Record):
    """`bundle/`: what predicts raw rows in the targets' units, with intervals. `seen.parquet`:
    `key_hash` of every row that was trained, validated or calibrated on. `folds/fold_<i>/bundle`:
    under cross-validation, the model of each fold, which has not seen the fold's test rows.
    `curves.json`: per training the losses by epoch and the division of the rows, those in
    `bundle/` first. `layers.json`: per member and layer how many weights are next to nothing.
    `control/`, or `folds/fold_<i>/control`: a bundle of a network per target, where the contract
    asks for a control."""

    shards: Shards
    members: int
    parameters: int
    epochs: int
    best_epoch: int
    validation_loss: float
    train_seconds: float
    device: str
    start: str = "scratch"
    """The version whose weights training began with; `scratch` where there is none."""

    def folder_of(self, fold: Fold) -> str:
        """Return where the bundle and the control lie that have not seen a fold's test rows."""
        return f"folds/{fold.name}" if len(self.shards.folds) > 1 else "."

    @property
    def summary(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.epochs} epochs, best {self.best_epoch}, "
            f"validation loss {self.validation_loss:.4f}"
        )


class Distribution(Record):
    """How well one model's distribution of one target fits the truth, over a fold's test rows."""

    crps: float
    """The continuous ranked probability score, in the target's unit."""
    log_likelihood: float | None = None
    """The mean log density of a normal distribution of the predicted mean and deviation, per row,
    in nats (with the target in its unit); None for a model without a deviation."""
    levels: tuple[float, ...] = ()
    """The levels of the intervals, from 0 to 1."""
    coverage: tuple[float, ...] = ()
    """By level the share of truths inside the interval."""
    width: tuple[float, ...] = ()
    """By level the interval's mean width, in the target's unit."""
    pit: tuple[float, ...] = ()
    """The histogram of the truth's place in the distribution, as shares of equal bins."""
    calibration_error: float | None = None
    """The mean over levels of the distance between coverage and level."""


class Score(Record):
    """One model's error on one target in one fold's test rows, in the target's unit.

    The rows are those on which the target is observed and the model has an answer; for the
    champion only those that it has not seen in training.
    """

    fold: int
    model: str
    """candidate, champion, independent (the control) or the name of a baseline."""
    target: str
    rows: int
    mae: float
    rmse: float
    r2: float | None
    """None where it is undefined; `r2_note` says why."""
    r2_note: str = ""
    rrmse: float | None = None
    """rmse over that of the train mean on the same rows (Borchani et al. 2015)."""
    bias: float = 0.0
    """The mean of prediction minus truth."""
    max_error: float = 0.0
    correlation: float | None = None
    """None where truth or prediction does not vary."""
    skill: dict[str, float]
    """By baseline: 1 - rmse / the baseline's rmse, on the rows that both answer."""
    candidate: dict[str, float] = {}
    """The candidate's mae and rmse on exactly these rows, for any other model."""
    distribution: Distribution | None = None


class JointScore(Record):
    """One model's scores of all targets together in one fold's test rows, in scaled units: each
    target over its deviation in the train rows, so that units do not matter."""

    fold: int
    model: str
    rows: int
    energy: float
    """The energy score (Gneiting & Raftery 2007); for a point, the mean Euclidean error."""
    variogram: float | None = None
    """The variogram score of order 0.5 (Scheuerer & Hamill 2015)."""
    levels: tuple[float, ...] = ()
    coverage: tuple[float, ...] = ()
    """By level the share of rows whose observed targets all lie in the joint region."""


class SliceScore(Record):
    """The candidate's error on one target in a part of the test rows, over all folds."""

    slice: str
    """`column=label`, such as `origin=JFK`, `season=winter`, `temp=quarter 4` or `missing=some`."""
    target: str
    rows: int
    mae: float
    rmse: float
    ratio: float
    """rmse over the target's rmse on all test rows."""
    low: float
    """The lower end of the ratio's confidence interval: above 1 the slice is surely worse."""
    others: dict[str, float] = {}
    """The rmse of every other model in the slice."""
    others_mae: dict[str, float] = {}
    """The mae of every other model in the slice."""


class CoverageError(Record):
    """How sure the share of truths in the candidate's intervals is, over the rows of all folds."""

    target: str
    level: float
    error: float
    """The standard error of the share, by clusters of rows that hang together."""
    clusters: int


class Difference(Record):
    """One thing in which the champion's contract differs from today's."""

    kind: Literal[
        "target added", "target removed", "unit", "transform", "feature added",
        "feature removed", "feature changed", "meaning",
    ]  # fmt: skip
    name: str
    words: str
    """What it was and what it is now."""
    parts: bool = False
    """Whether it keeps the target from being compared with the champion's."""


class Opponent(Record):
    """The registered version that the candidate was compared with."""

    version: str
    trained: str | None = None
    """When it was registered, in ISO 8601, in UTC."""
    test_rows: int = 0
    fresh_rows: int = 0
    """Test rows that it has neither trained, validated, calibrated nor been tuned on."""
    split_known: bool = True
    """False where the version does not record which rows it has seen."""
    order: Literal["time", "group", "rows", "folds"] = "rows"
    """What a block of the paired test is made of."""
    shared: tuple[str, ...] = ()
    """Targets that both predict, in the same unit."""
    differences: tuple[Difference, ...] = ()
    same_recipe: bool = False
    """Under cross-validation: both have one recipe, so that there is nothing to compare."""


class Cost(Record):
    """What the model that would be published costs, measured where it was evaluated."""

    megabytes: float
    milliseconds: dict[str, float]
    """`<p50 or p99>/<rows>`, such as `p99/1`."""


def metric_of(score: Score, metric: Metric) -> float | None:
    """Return a score's metric, None where it is undefined."""
    if metric == "crps":
        return score.distribution.crps if score.distribution else None
    value: float | None = getattr(score, metric)
    return value


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
    """`predictions.parquet`: `_row`, `fold`, per target `truth/…`, `<model>/…` in units, and
    `low/…` and `high/…`, the candidate's interval of 90 %. `slices.parquet`: a SliceScore a row.
    `paired.npz`: sums of errors by block, for the test against the champion;
    `paired_slices.npz`: the same by slice.
    `importance.json`: by feature and target, by what share of it shuffling the feature raises the
    rmse."""

    candidate: Candidate
    scores: tuple[Score, ...]
    joint: tuple[JointScore, ...] = ()
    worst: tuple[SliceScore, ...] = ()
    """The slices that are surely worse than the whole, worst first."""
    coverage_errors: tuple[CoverageError, ...] = ()
    opponent_facts: Opponent | None = None
    cost: Cost | None = None
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
        own = [s for s in self.scores if (s.model, s.target) == (model, target)]
        known = [v for v in (metric_of(s, metric) for s in own) if v is not None]
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
    unsure: bool = False
    """True where the test rows can neither show that it holds nor that it does not."""
    value: float | None
    limit: float | None
    reason: str
    """One sentence with the numbers and the unit."""


class Effect(Record):
    """The candidate's error against the champion's on one target, by a paired test."""

    target: str
    """A target's name, or `all` for the geometric mean over the critical targets."""
    slice: str | None = None
    """The part of the test rows, all of them when None."""
    rows: int
    blocks: int
    ratio: float
    """The candidate's error over the champion's: below 1 the candidate is better."""
    low: float
    high: float
    """The ends of the ratio's two-sided confidence interval."""
    detectable: float
    """The change of the error, as a share, that these rows can see with power 0.8."""
    p_worse: float
    """Holm-adjusted p of "worse by no more than the margin"."""
    p_better: float
    """Holm-adjusted p of "not better"."""


class Approval(Record):
    """What a person decided of a candidate, kept with its version for ever."""

    decision: Literal["approved", "rejected"]
    by: str
    """Who: the user's name on the machine, or as the form says."""
    when: str
    """ISO 8601, in UTC."""
    reason: str = ""

    @property
    def words(self) -> str:
        """Who decided and why, such as `by ann: the new sensors explain it`."""
        return f"by {self.by}: {self.reason}" if self.reason else f"by {self.by}"

    @property
    def summary(self) -> str:
        return f"{self.decision} {self.words}"


class Verdict(Record):
    """`verdict.json`: the outcome, one ruling per rule and target, and the effects behind them."""

    scores: Scores
    outcome: Outcome
    rulings: tuple[Ruling, ...]
    effects: tuple[Effect, ...] = ()
    rebaseline: str | None = None
    """Why the champion was not compared with, where that was asked for."""
    approval: Approval | None = None
    """The decision of a person, where the outcome waited for one."""

    @property
    def decided(self) -> str:
        """Who decided, and why, in words; empty where nobody had to."""
        return self.approval.summary if self.approval else ""

    @property
    def summary(self) -> str:
        failed = sum(not r.passed for r in self.rulings)
        held = f"{len(self.rulings) - failed} of {len(self.rulings)} rulings hold"
        return f"{self.outcome}: {held}{f'; {self.decided}' if self.decided else ''}"


class Proof(Record):
    """A registered model in one format, as a fresh process without Polycast found it."""

    format: str
    """pyfunc, or one of the contract's formats."""
    rows: int
    """Raw test rows that it answered as the candidate does."""
    worst: float
    """The largest difference, as a share of what is allowed."""
    rmse: dict[str, float | None]
    """By target the error on these rows, in its unit; None where no truth is known."""
    megabytes: float
    """The size of its files."""
    memory: float
    """The most memory of the process, in megabytes."""
    load_seconds: float
    milliseconds: dict[str, float]
    """`<p50 or p99>/<rows>`, such as `p99/1`."""


class Held(Record):
    """A version that was registered, failed its proof, and so never became champion."""

    version: str
    reason: str


class Publication(Record):
    """What the registry made of the verdict."""

    verdict: Verdict
    model: str
    version: str | None
    """The registered version; None where the gate blocked, a person is asked first, or the proof
    failed."""
    held: Held | None = None
    """The version whose proof failed."""
    proofs: tuple[Proof, ...] = ()
    """What the proof of the version measured, by format."""
    tracking_run: str
    """MLflow's id of the run that holds parameters, metrics and artifacts."""

    @property
    def as_of(self) -> str | None:
        """The day or moment that the run was made as of, in ISO 8601; None: now."""
        return self.verdict.scores.as_of

    @property
    def outcome(self) -> RunOutcome:
        """What became of the candidate."""
        if self.version is not None:
            return "published"
        if self.held is not None:
            return "held"
        if self.verdict.outcome == "needs approval":
            return "waiting"
        return "rejected" if self.verdict.approval else "blocked"

    @property
    def summary(self) -> str:
        decided = f", {self.verdict.decided}" if self.verdict.approval else ""
        if self.held is not None:
            kept = f"{self.model} version {self.held.version} is held"
            return f"{kept}, and the champion stays: {self.held.reason}"
        if self.version is None:
            recorded = f"recorded as MLflow run {self.tracking_run[:8]}"
            waits = " yet: it waits for approval" if self.outcome == "waiting" else decided
            return f"nothing {'kept' if self.as_of else 'published'}{waits}; {recorded}"
        if self.as_of:
            kept = f"{self.model} kept as version {self.version}, as of {self.as_of}{decided}"
            return f"{kept}; the champion stays"
        return f"{self.model} version {self.version}, alias champion{decided}"


class Run(Record):
    """A run folder: `run.json` (the manifest to repeat the run by), `report.html`,
    `contract.json` (a path that `polycast retrain` takes), `drift.json`."""

    id: str
    dataset: str
    outcome: RunOutcome
    publication: Publication
    flow_run: str | None = None
    """Prefect's id of the flow run."""

    @property
    def summary(self) -> str:
        return f"run {self.id}"
