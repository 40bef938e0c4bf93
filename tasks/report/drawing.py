"""The page's images: what is drawn from the run's files, each with what it shows in words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.columns import Target
from data_contracts.contract import Contract
from tasks.database import columns, connect, literal
from tasks.report import interval_plots, plots
from tasks.report.correlation import MOST_TARGETS, residual_correlation, strongest
from tasks.report.errors_table import Table
from tasks.report.intervals import Intervals
from tasks.report.numbers import aligned, fixed, percent, ratio

MOST_PLOTS = 10
"""The most targets whose predictions are plotted: failed ones, then those of least skill."""
MOST_ROWS = 1_000_000
"""The most rows that a plot is made of, picked by their number's hash."""


@dataclass(frozen=True)
class Plot:
    """An image that stands inside the page, and what it shows in words."""

    address: str
    alt: str


@dataclass(frozen=True)
class TargetPlots:
    """A target's plots. None where there is nothing to draw."""

    target: str
    meaning: Target
    rows: int
    fit: Plot | None
    residuals: Plot | None


def curves_plot(file: Path) -> Plot | None:
    """Return the learning curves, None where there are none."""
    curves = json.loads(file.read_text("utf-8"))
    svg = plots.learning_curves(curves)
    if svg is None:
        return None
    epochs = max(len(c["loss"]) for c in curves)
    lowest = [np.array(c["val_loss"]) for c in curves[:5] if c["val_loss"]]
    best = "; ".join(f"{v.min():.4g} in epoch {v.argmin() + 1}" for v in lowest)
    words = f"Train and validation loss over {epochs} epochs. Lowest validation loss: {best}."
    return _plot(svg, words)


def target_plots(contract: Contract, table: Table, file: Path) -> Iterator[TargetPlots]:
    """Yield the plots of the targets to look at first, from `predictions.parquet`."""
    timed = "time" in pq.read_schema(file).names
    for name in table.first_to_look_at(MOST_PLOTS):
        target = contract.target_columns[name]
        wanted = [f"truth/{name}", f"candidate/{name}"]
        rows = _read(file, [*wanted, *(["time"] if timed else [])])
        truth, predicted = (rows.column(c).to_numpy().astype("float64") for c in wanted)
        seen = int((np.isfinite(truth) & np.isfinite(predicted)).sum())
        fit = plots.truth_against_prediction(target.unit, truth, predicted)
        yield TargetPlots(
            target=name,
            meaning=target,
            rows=seen,
            fit=None if fit is None else _plot(fit, _fit_words(table, name, target.unit, seen)),
            residuals=_residuals(contract, rows, target, truth, predicted),
        )


def _read(file: Path, names: list[str]) -> pa.Table:
    """Return columns of at most about MOST_ROWS rows."""
    every = -(-pq.read_metadata(file).num_rows // MOST_ROWS)
    if every <= 1:
        return pq.read_table(file, columns=names)
    with connect([file]) as database:
        return database.sql(
            f"SELECT {columns(names)} FROM read_parquet({literal(str(file))}) "
            f"WHERE hash(_row, fold) % {every} = 0"
        ).to_arrow_table()


def _fit_words(table: Table, name: str, unit: str, rows: int) -> str:
    rmse = aligned([table.mean("candidate", name, "rmse")])[0]
    r2 = table.mean("candidate", name, "r2")
    return (
        f"Predicted against true {name} in {unit} on {rows:,} test rows, with the 1:1 line: "
        f"RMSE {rmse} {unit}, R² {'undefined' if r2 is None else ratio(r2)}."
    )


def _residuals(
    contract: Contract,
    rows: pa.Table,
    target: Target,
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
) -> Plot | None:
    time = _time(rows)
    if time is None:
        return None
    zone = " (UTC)" if getattr(rows.schema.field("time").type, "tz", None) else ""
    label = f"{contract.time or 'time'}{zone}"
    svg = plots.residuals_over_time(target.unit, label, time, truth, predicted)
    words = (
        f"Prediction minus truth in {target.unit} over {label}: median and spread in each period."
    )
    return None if svg is None else _plot(svg, words)


def _time(rows: pa.Table) -> NDArray[Any] | None:
    """Return the time column as datetime64 or numbers, None where it is neither or absent."""
    if "time" not in rows.column_names:
        return None
    kind = rows.schema.field("time").type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(rows.column("time").to_numpy(), dtype="float64")
    if not pa.types.is_timestamp(kind) and not pa.types.is_date(kind):
        return None
    return np.asarray(rows.column("time").to_numpy(), dtype="datetime64[us]")


def coverage_plot(found: Intervals) -> Plot | None:
    """Return the plot of coverage against level, None without intervals."""
    svg = interval_plots.coverage(found.curves)
    if svg is None:
        return None
    told = [
        f"{c.target} {percent(c.coverage[-1], sign=False)} at {percent(c.levels[-1], 0, False)}"
        for c in found.curves[:5]
        if c.levels
    ]
    return _plot(
        svg, f"Share of truths inside the interval less its level, by level: {', '.join(told)}."
    )


def places_plot(found: Intervals) -> Plot | None:
    """Return the histograms of the truth's place, None where there is no distribution."""
    svg = interval_plots.places(found.curves)
    if svg is None:
        return None
    named = ", ".join(c.target for c in found.curves if c.pit)
    return _plot(svg, f"How often the truth falls in each part of its distribution: {named}.")


def correlation_plot(table: Table, file: Path) -> Plot | None:
    """Return the heat map of the residuals' correlations, None for one target or no pair."""
    names = table.first_to_look_at(MOST_TARGETS)
    if len(names) < 2:
        return None
    found = residual_correlation(file, names)
    first = strongest(found, names)
    if first is None:
        return None
    words = f"{first[0]} with {first[1]}, {fixed(first[2], 2)}"
    shown = f"Correlations of the residuals of {len(names)} targets; the strongest is {words}."
    return _plot(interval_plots.heat_map(names, found), shown)


def _plot(svg: str, alt: str) -> Plot:
    """Return a plot as an address that holds it: percent signs take less room than base64."""
    data = quote(svg.replace("\n", " "), safe=" !'()*+,/:;=?@[]^_`{|}~$")
    return Plot(f"data:image/svg+xml,{data}", alt)
