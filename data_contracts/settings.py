"""The short sections: training, tuning, evaluation, publishing and schedule."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from data_contracts.annotations import Matching
from data_contracts.gate import Baseline
from data_contracts.section import Items, Section, refused

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
    precision: Literal["float32"] = "float32"
    """The numbers that the network computes in."""
    engine: Literal["auto", "process", "pool"] = "auto"
    """Where training runs. process: a process of its own on this machine. pool: a run of its
    own on the work pool `gpu`. auto: the pool, for runs on a worker while a worker of the pool
    is online."""


class Tuning(Section):
    """The search for a better recipe. This version has no tuning."""


class Evaluation(Section):
    """What the candidate is compared with."""

    baselines: Items[Baseline] = ("mean", "persistence", "ridge")
    """Models with no network. persistence covers the targets that name `present`."""
    control: Literal["none", "independent"] = "none"
    """independent: a network per target, trained beside the candidate, so that the report says
    where sharing helps."""


class Publishing(Section):
    """Where a passed candidate goes."""

    model: ModelName | None = None
    """The registered model's name; the dataset's when absent."""


class Schedule(Section):
    """When the dataset is retrained without being asked."""

    cron: Cron
    """Minute, hour, day of month, month, day of week."""
    timezone: Timezone = "UTC"
    """An IANA name such as America/New_York."""
    overlap: Literal["skip", "wait"] = "skip"
    """What becomes of a run that is due while another of this dataset still goes on."""
