"""The report of one run: a single HTML file that needs no network, for people.

    write_report(contract, publication, sources, Path("report.html"))

Style and plots stand inside the file; its policy forbids the browser to fetch anything. Plots
are drawn for MOST_PLOTS targets, the metric table names MOST_TARGETS; which, the page says.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from data_contracts.columns import Target
from data_contracts.contract import Contract
from tasks.records import Checked, Publication
from tasks.report import decision, plots
from tasks.report.errors_table import Table, fold_rows
from tasks.report.network import network
from tasks.report.numbers import aligned, duration, ratio
from tasks.report.sharing import sharing

MOST_PLOTS = 10
"""The most targets whose predictions are plotted: failed ones, then those of least skill."""
MOST_REASONS = 50
"""The most reasons for quarantine, and the most breaches, that are written out."""
OURS = (
    "polycast", "keras", "tensorflow", "jax", "numpy", "pyarrow", "duckdb",
    "great_expectations", "mlflow", "prefect",
)  # fmt: skip
"""The packages that are named first."""


@dataclass(frozen=True)
class ReportSources:
    """What the page shows beside the records: local files, versions, times and addresses."""

    predictions: Path
    """`predictions.parquet`: `_row`, `fold`, `time` if any, `truth/…` and `<model>/…` in units."""
    curves: Path
    """`curves.json`: per member the lists `loss` and `val_loss`."""
    versions: dict[str, str]
    """Version by package."""
    run_id: str
    ended: datetime
    """When the run ended."""
    layers: Path | None = None
    """`layers.json`: per member and layer how many weights are next to nothing."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage's work took when it was done."""
    links: dict[str, str] = field(default_factory=dict)
    """Where to look next: a path, an address, or an id, by name."""
    reproduce: str = ""
    """The command that repeats the run."""


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


def write_report(
    contract: Contract, publication: Publication, sources: ReportSources, file: Path
) -> None:
    """Write the report of one run as a self-contained HTML file."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    page = environment.get_template("page.html.j2").render(
        **_decision(publication),
        **_errors(contract, publication),
        **_data(publication.verdict.scores.candidate.shards.checked),
        contract=contract,
        publication=publication,
        sources=sources,
        network=network(contract.recipe, sources.layers),
        curves=_curves(sources.curves),
        plots=list(_plots(contract, publication, sources.predictions)),
        links=[(n, a, href(a, file.parent)) for n, a in sources.links.items()],
        versions=_versions(sources.versions),
    )
    file.write_text(page, "utf-8")


def href(address: str, folder: Path) -> str | None:
    """Return what a link in `folder` points to, None where a browser could not open it.

    A local path becomes relative, so that it stays true when the storage root moves.
    """
    scheme = urlsplit(address).scheme
    if scheme:
        return address if scheme in ("http", "https", "file") else None
    if "/" not in address:
        return None
    path = os.path.relpath(address, folder) if os.path.isabs(address) else address
    return quote(path, safe="/#?=&%~:+,;@")


def _decision(publication: Publication) -> dict[str, Any]:
    verdict = publication.verdict
    word, rest = decision.sentence(publication)
    return {
        "word": word,
        "rest": rest,
        "deciding": decision.deciding(verdict),
        "warnings": decision.warnings(verdict),
        "rules": decision.rules(verdict),
        "failed": sum(not r.passed and r.blocks for r in verdict.rulings),
        "held": sum(r.passed for r in verdict.rulings),
    }


def _errors(contract: Contract, publication: Publication) -> dict[str, Any]:
    verdict = publication.verdict
    table = Table(contract, verdict)
    blocks = table.blocks()
    shown = [b.target for b in blocks]
    folds = sorted({s.fold for s in verdict.scores.scores})
    return {
        "heads": table.heads(),
        "blocks": blocks,
        "notes": list(
            dict.fromkeys(c.note for b in blocks for r in b.metrics for c in r.cells if c.note)
        ),
        "counts": table.counts(),
        "sharing": sharing(table),
        "folds": folds,
        "by_fold": fold_rows(verdict.scores, shown) if len(folds) > 1 else [],
        "target_count": len(contract.target_columns),
    }


def _data(checked: Checked) -> dict[str, Any]:
    return {
        "checked": checked,
        "reasons": checked.reasons[:MOST_REASONS],
        "breaches": checked.breaches[:MOST_REASONS],
    }


def _versions(versions: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the packages that matter most, and all others."""
    first = {n: v for n, v in versions.items() if n.lower().replace("-", "_") in OURS} or versions
    return {"first": first, "others": {n: v for n, v in versions.items() if n not in first}}


def _curves(file: Path) -> Plot | None:
    curves = json.loads(file.read_text("utf-8"))
    svg = plots.learning_curves(curves)
    if svg is None:
        return None
    epochs = max(len(c["loss"]) for c in curves)
    lowest = [np.array(c["val_loss"]) for c in curves[:5] if c["val_loss"]]
    best = "; ".join(f"{v.min():.4g} in epoch {v.argmin() + 1}" for v in lowest)
    words = f"Train and validation loss over {epochs} epochs. Lowest validation loss: {best}."
    return _plot(svg, words)


def _plots(contract: Contract, publication: Publication, file: Path) -> Iterator[TargetPlots]:
    table = Table(contract, publication.verdict)
    columns = pq.read_schema(file).names
    for name in table.first_to_look_at(MOST_PLOTS):
        target = contract.target_columns[name]
        wanted = [f"truth/{name}", f"candidate/{name}"]
        rows = pq.read_table(file, columns=[*wanted, *(["time"] if "time" in columns else [])])
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


def _plot(svg: str, alt: str) -> Plot:
    """Return a plot as an address that holds it: percent signs take less room than base64."""
    data = quote(svg.replace("\n", " "), safe=" !'()*+,/:;=?@[]^_`{|}~$")
    return Plot(f"data:image/svg+xml,{data}", alt)
