"""The short sections: training, evaluation, publishing and schedule."""

from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from data_contracts.annotations import Matching
from data_contracts.gate import Baseline
from data_contracts.section import Items, Section, refused
from data_contracts.split import Duration

ModelName = Annotated[
    str,
    Matching(
        r"[A-Za-z][A-Za-z0-9_.-]{0,127}",
        "letters, digits, _ . and -, starting with a letter, 128 at most",
    ),
]
Cron = Annotated[
    str,
    Matching(
        r"\S+( +\S+){4}",
        "five fields: minute, hour, day of month, month, day of week",
    ),
]


def _number_as_text(value: Any) -> Any:
    """A version's number is text in MLflow, and a number in YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_WORD = "scratch|champion|[1-9][0-9]*"
_NUMBER_OR_WORD = [
    {"type": "integer", "minimum": 1},
    {"type": "string", "pattern": f"^(?:{_WORD})$"},
]
Start = Annotated[
    str,
    Matching(_WORD, "scratch, champion, or the number of a version"),
    BeforeValidator(_number_as_text),
    WithJsonSchema({"anyOf": _NUMBER_OR_WORD, "title": "Start"}),
]


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise refused("an IANA name such as America/New_York", name) from None
    return name


Timezone = Annotated[str, AfterValidator(_known_timezone)]


class Training(Section):
    """How this machine trains. What is learned stands in the recipe."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU where the framework sees one."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """The numbers that the network computes in while it is trained; weights are float32 always, and
    so is all that the published network computes. Half of the bits are faster on a GPU, and slower
    on most CPUs."""
    parallel: Literal["none", "data", "model"] = "none"
    """How the network is trained over all devices that this process sees. data: each has the whole
    network and a part of every batch. model: each has a part of every wide layer, for layers that
    one device cannot hold; it needs KERAS_BACKEND=jax."""
    hosts: int = Field(default=1, ge=1)
    """On how many machines the network is trained at once, over the devices of all of them: a
    process on each, that `polycast train` begins; it needs `parallel: data`."""
    accumulate: int = Field(default=1, ge=1)
    """From how many parts of a batch its gradients come, one part after another, for batches that
    memory does not hold at once. Where memory runs out, batches are parted without being asked."""
    rematerialize: bool = False
    """Forget what hidden layers answer, and compute it once more where gradients need it: less
    memory for about a third more work, for networks that are deep; it needs KERAS_BACKEND=jax."""
    start: Start = "scratch"
    """The weights to begin with. champion: those of the dataset's champion, or of the version of
    this number, whose network must be of the same shape and must not have seen the test rows; the
    candidate is judged as any other."""
    engine: Literal["auto", "process", "pool"] = "auto"
    """Where training runs. process: a process of its own on this machine. pool: a run of its
    own on the work pool `gpu`. auto: the pool, for runs on a worker while a worker of the pool
    is online."""


class Evaluation(Section):
    """What the candidate is compared with, and on which rows."""

    baselines: Items[Baseline] = ("mean", "persistence", "seasonal_persistence", "ridge", "trees")
    """Models with no network. persistence covers the targets that name `present`;
    seasonal_persistence, where rows have a time, is the target's own value a `season` before."""
    season: Duration = "1d"
    """How far back seasonal_persistence looks, within the rows that share the rest of the key."""
    lead: Duration | None = None
    """How far after its row's time a target is known, such as 3h for a forecast of three hours:
    seasonal_persistence goes back by as many seasons as that takes. When absent, the gap of a split
    in order of time."""
    folds: int | None = Field(default=None, ge=2, le=20)
    """Judge by cross-validation over this many folds instead of one test split, for few rows.
    random, group, stratified, blocked: every row, or whole group, or stretch of time, is tested in
    one fold; each fold has its share of every stratum. time: the newer half of the rows is tested
    part by part, and each fold learns from all rows before its part. Rows that are not tested are
    divided into train and validation in the proportion of the split's shares; none is held out for
    calibration, since intervals come from the errors on test rows. The champion rule needs 3 folds
    at least, over all repeats."""
    repeats: int = Field(default=1, ge=1, le=20)
    """How often cross-validation is repeated, each time with other folds; not with a split by
    time."""
    publish: Literal["refit", "members"] = "refit"
    """What cross-validation publishes. refit: one model trained on all rows but a validation
    share that stops training. members: the folds' models together."""
    control: Literal["none", "independent"] = "none"
    """independent: a network per target, trained beside the candidate, so that the report says
    where sharing helps."""


Format = Literal["keras", "saved_model", "onnx"]
FORMATS: tuple[str, ...] = get_args(Format)


class Keep(Section):
    """Which versions `polycast prune` leaves: one is removed only where it is beyond both."""

    versions: int = Field(default=10, ge=1)
    """How many of the newest versions stay, whatever their age."""
    days: int = Field(default=90, ge=0)
    """For how many days a version stays, however many newer ones there are."""


class Publishing(Section):
    """Where a passed candidate goes, in which formats, and how long versions are kept."""

    model: ModelName | None = None
    """The registered model's name; the dataset's when absent."""
    formats: Items[Format] = ()
    """What is exported beside the model that MLflow serves, each with raw values in and targets in
    their units out. keras: a `.keras` file. saved_model: TensorFlow's, which TensorFlow Serving
    runs, labels as text. onnx: for onnxruntime; it needs the extra `onnx`."""
    keep: Keep | None = None
    """Which versions `polycast prune` leaves; it removes none when absent."""


class Schedule(Section):
    """When the dataset is retrained without being asked."""

    cron: Cron
    """Minute, hour, day of month, month, day of week."""
    timezone: Timezone = "UTC"
    """An IANA name such as America/New_York."""
    overlap: Literal["skip", "wait"] = "skip"
    """What becomes of a run that is due while another of this dataset still goes on."""
