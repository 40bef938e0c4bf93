"""The section `monitoring`: when a champion is watched, and from when on it is to be retrained."""

from typing import Annotated

from pydantic import Field

from data_contracts.section import Section
from data_contracts.settings import Cron, Timezone
from data_contracts.split import Duration

Effect = Annotated[float, Field(gt=0.0)]


class DriftLimits(Section):
    """From where on a column has drifted. A limit counts where the change is more than chance
    besides."""

    stability: Effect = 0.25
    """The population stability index of a column's values: 0.1 is little, 0.25 is large."""
    distance: Effect = 0.25
    """How far a number's values have moved: the Wasserstein distance in units of their spread."""
    missing: Effect = 0.05
    """By how much a feature's share of missing values has changed."""
    new: Effect = 0.01
    """The share of labels that the champion has not been trained on."""
    false_discoveries: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    """Of the changes that count as more than chance, the share that may be chance."""


class Monitoring(Section):
    """When the champion is watched: recent rows against those that it was trained on, and its
    predictions against truths that have come since."""

    cron: Cron | None = None
    """Minute, hour, day of month, month, day of week; only when asked for, when absent."""
    timezone: Timezone = "UTC"
    """An IANA name such as America/New_York."""
    window: Duration = "7d"
    """How far back from the newest row rows are recent. Without a time column all rows are that
    the champion has not seen."""
    drift: DriftLimits = DriftLimits()
    """From where on a column has drifted."""
    decay: Effect = 0.2
    """By what share a target's error must have grown over that on the test rows to have decayed.
    It counts where the interval of the growth shows any besides."""
    retrain: bool = True
    """Whether drift and decay start a retrain, on a server."""
