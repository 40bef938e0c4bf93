"""Every architecture on real sets: errors, scores of distributions, parameters and time.

python -m tests.benchmarks.architectures [--quick] [--json FILE]

Outside sets are read from POLYCAST_BENCH_DATA, and skipped where they are not there. Options are
the defaults; epochs are limited. Figures by set and architecture, over the test rows:

- rmse.TARGET  in the target's unit
- armse        the mean over targets of RMSE over the RMSE of the train mean: 0 perfect, 1 useless
- skill        the mean over targets of 1 - RMSE / ridge regression's RMSE: above 0 is better
- crps, energy of targets divided by their deviation in the train rows. What answers with a spread
  alone is scored as a Gaussian of it, independent between targets; a point as itself, so that
  its crps is its absolute error
- coverage90   the share of truths between the 5 % and the 95 % quantile, where there are any
"""

import logging
import os
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.table import Table

from data_contracts.recipes import ARCHITECTURES
from data_contracts.recipes.brought import name_of
from tasks.backends import backend
from tasks.baselines import train_mean
from tasks.learning.errors import Diverged
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.predictions import Predictions
from tasks.learning.scores import (
    coverage,
    crps_gaussian,
    crps_quantiles,
    crps_samples,
    energy_score,
    errors,
)
from tasks.learning.shards import to_arrays
from tasks.learning.tables import numbers
from tasks.regressors import ridge
from tests.benchmarks.harness import Figures, run
from tests.benchmarks.sets import DataSet, nyc_weather, outside_set

OUTSIDE = ("enb", "scm20d", "air_quality_uci")
EPOCHS, QUICK_EPOCHS, QUICK_ROWS = 100, 2, 512
DRAWS = 64
NORMAL_95 = 1.6448536269514722
"""The 95 % quantile of a standard Gaussian."""
SHOWN = ("armse", "skill", "crps", "energy", "coverage90", "parameters", "epochs", "seconds")

Values = NDArray[np.float64]


def measure(quick: bool) -> Figures:
    """Train each architecture on each set; `quick` takes two sets, few rows and few epochs."""
    backend()
    logging.getLogger("tensorflow").setLevel("ERROR")  # it wonders at so many networks
    figures: Figures = {}
    for found in (nyc_weather(), *map(outside_set, OUTSIDE[:1] if quick else OUTSIDE)):
        if found is not None:
            data = found.capped(QUICK_ROWS) if quick else found
            figures |= {f"{data.name}.{k}": v for k, v in _set(data, quick)}
    return figures


def _set(data: DataSet, quick: bool) -> Iterator[tuple[str, float | str]]:
    judge = Judge(data)
    for name in map(name_of, ARCHITECTURES):
        for figure, value in _architecture(data, judge, name, quick).items():
            yield f"{name}.{figure}", value


def _architecture(data: DataSet, judge: "Judge", name: str, quick: bool) -> Figures:
    from tasks.learning.fitting import fit

    recipe = {"architecture": name, "epochs": QUICK_EPOCHS if quick else EPOCHS, "batch_size": 256}
    content = data.contract.model_dump(mode="json") | {"recipe": recipe}
    start = time.perf_counter()
    try:
        bundle, curve = fit(
            type(data.contract).model_validate(content), data.train, data.validation
        )
    except Diverged as fault:
        return {"fault": str(fault)}
    seconds = time.perf_counter() - start
    return judge.figures(bundle.predict(data.test, draws=DRAWS)) | {
        "parameters": float(bundle.members[0].network.count_params()),
        "epochs": float(len(curve.loss)),
        "seconds": seconds,
    }


class Judge:
    """Scores predictions of a set's test rows, beside the train mean and ridge regression."""

    def __init__(self, data: DataSet) -> None:
        fitted = fit_preprocessing(data.contract, data.train)
        train = to_arrays(data.contract, fitted, data.train)
        self.targets = list(data.contract.target_columns)
        self.truth = self._values(data.test)
        self.scale = np.nanstd(self._values(data.train), axis=0)
        self.mean = self.rmse(train_mean(fitted, data.test))
        self.ridge = self.rmse(ridge(fitted, train)(data.test))

    def _values(self, rows: pa.Table) -> Values:
        return np.stack([numbers(rows, t) for t in self.targets], axis=1)

    def rmse(self, predicted: Values) -> Values:
        """Return the error of each target, in its unit."""
        return np.array([errors(y, p).rmse for y, p in zip(self.truth.T, predicted.T, strict=True)])

    def figures(self, found: Predictions) -> Figures:
        """Return all figures of one architecture's predictions."""
        own = self.rmse(found.mean)
        spread = {} if _interval(found) is None else {"coverage90": self._coverage(found)}
        return {
            "armse": float(np.mean(own / self.mean)),
            "skill": float(np.mean(1 - own / self.ridge)),
            "crps": float(np.mean([self._crps(found, i) for i in range(len(own))])),
            "energy": energy_score(self.truth / self.scale, _samples(found) / self.scale),
            **spread,
            **{f"rmse.{t}": float(v) for t, v in zip(self.targets, own, strict=True)},
        }

    def _crps(self, found: Predictions, i: int) -> float:
        truth, unit = self.truth[:, i], float(self.scale[i])
        if found.samples is not None:
            return crps_samples(truth, found.samples[..., i]) / unit
        if found.quantiles:
            return crps_quantiles(truth, {q: v[:, i] for q, v in found.quantiles.items()}) / unit
        spread = np.zeros_like(truth) if found.spread is None else found.spread[:, i]
        return crps_gaussian(truth, found.mean[:, i], spread) / unit

    def _coverage(self, found: Predictions) -> float:
        lower, upper = _interval(found) or (found.mean, found.mean)
        inside = [coverage(*c).inside for c in zip(self.truth.T, lower.T, upper.T, strict=True)]
        return float(np.mean(inside))


def _interval(found: Predictions) -> tuple[Values, Values] | None:
    """Return the 5 % and the 95 % quantile, None where there is but a point."""
    if found.quantiles and {0.05, 0.95} <= set(found.quantiles):
        return found.quantiles[0.05], found.quantiles[0.95]
    if found.samples is not None:
        lower, upper = np.quantile(found.samples, [0.05, 0.95], axis=1)
        return lower, upper
    if found.spread is None:
        return None
    return found.mean - NORMAL_95 * found.spread, found.mean + NORMAL_95 * found.spread


def _samples(found: Predictions) -> Values:
    """Return samples (rows, draws, targets): its own, or of a Gaussian; or the point, twice."""
    if found.samples is not None:
        return found.samples
    if found.spread is None:
        return np.repeat(found.mean[:, None], 2, axis=1)
    noise = np.random.default_rng(0).normal(size=(len(found.mean), DRAWS, found.mean.shape[1]))
    return np.asarray(found.mean[:, None] + noise * found.spread[:, None])


def table(figures: Figures) -> Table:
    """Return one row per set and architecture."""
    out = Table("set", "architecture", *SHOWN, title="Architectures, on the test rows")
    for row in dict.fromkeys(tuple(name.split(".")[:2]) for name in figures):
        own = {c: figures.get(".".join([*row, c])) for c in SHOWN}
        fault = figures.get(".".join([*row, "fault"]))
        out.add_row(*row, *([str(fault)] if fault else map(_cell, own, own.values())))
    return out


def _cell(name: str, value: float | str | None) -> str:
    if not isinstance(value, float):
        return "–" if value is None else value
    return f"{value:,.0f}" if name in ("parameters", "epochs") else f"{value:.3f}"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run(measure, "Architectures", table=table)
