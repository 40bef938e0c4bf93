"""The report of one run: a single HTML file that needs no network, for people.

    write_report(contract, publication, sources, Path("report.html"))

Style and plots stand inside the file; its policy forbids the browser to fetch anything. Plots
are drawn for MOST_PLOTS targets, the metric table names MOST_TARGETS; which, the page says.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from data_contracts.contract import Contract
from tasks.records import Checked, Cost, Proof, Publication
from tasks.report import decision
from tasks.report.against import against
from tasks.report.drawing import (
    correlation_plot,
    coverage_plot,
    curves_plot,
    places_plot,
    target_plots,
)
from tasks.report.drift_table import drift_table
from tasks.report.errors_table import Table, fold_rows
from tasks.report.further_table import further, groups, joint_table
from tasks.report.headline import headline
from tasks.report.importance import importance
from tasks.report.intervals import intervals
from tasks.report.network import network
from tasks.report.numbers import aligned, fixed
from tasks.report.sharing import sharing
from tasks.report.slices import worst
from tasks.report.sources import ReportSources
from tasks.report.templates import templates

MOST_REASONS = 50
"""The most reasons for quarantine, and the most breaches, that are written out."""
OURS = (
    "polycast", "keras", "tensorflow", "jax", "numpy", "pyarrow", "duckdb",
    "great_expectations", "mlflow", "prefect",
)  # fmt: skip
"""The packages that are named first."""


def write_report(
    contract: Contract, publication: Publication, sources: ReportSources, file: Path
) -> None:
    """Write the report of one run as a self-contained HTML file."""
    page = (
        templates()
        .get_template("page.html.j2")
        .render(
            **_decision(contract, publication),
            **_errors(contract, publication),
            **_parts(contract, publication, sources),
            **_data(publication.verdict.scores.candidate.shards.checked),
            contract=contract,
            publication=publication,
            sources=sources,
            network=network(contract.recipe, sources.layers, sources.shares),
            curves=curves_plot(sources.curves),
            cost=_cost(publication.verdict.scores.cost),
            proofs=[_proof(proof) for proof in publication.proofs],
            links=[(n, a, href(a, file.parent)) for n, a in sources.links.items()],
            versions=_versions(sources.versions),
        )
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


def _decision(contract: Contract, publication: Publication) -> dict[str, Any]:
    verdict = publication.verdict
    word, rest = decision.sentence(publication)
    return {
        "word": word,
        "rest": rest,
        "tone": decision.tone(publication),
        "headline": headline(contract, verdict),
        "against": against(contract, verdict),
        "warnings": decision.warnings(verdict),
        "rules": decision.rules(verdict),
        "held": sum(decision.state(r) in ("holds", "silent") for r in verdict.rulings),
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
        "further": further(table),
        "groups": groups(contract, table),
        "counts": table.counts(),
        "sharing": sharing(table),
        "folds": folds,
        "by_fold": fold_rows(verdict.scores, shown) if len(folds) > 1 else [],
        "target_count": len(contract.target_columns),
    }


def _parts(contract: Contract, publication: Publication, sources: ReportSources) -> dict[str, Any]:
    """Return what is drawn and told of predictions, intervals, slices and features."""
    scores = publication.verdict.scores
    table = Table(contract, publication.verdict)
    found = intervals(table)
    return {
        "plots": list(target_plots(contract, table, sources.predictions)),
        "intervals": found,
        "coverage": coverage_plot(found) if found else None,
        "places": places_plot(found) if found else None,
        "joint": joint_table(scores),
        "correlation": correlation_plot(table, sources.predictions),
        "worst": worst(contract, scores, sources.slices),
        "importance": importance(table, sources.importance),
        "drift": drift_table(sources.drift),
        "drift_from": sources.drift_from or "the train rows",
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


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    """Return the model's size, and how long it takes for each count of rows, in milliseconds."""
    if cost is None:
        return None
    found = _times(cost.milliseconds)
    return {"megabytes": aligned([cost.megabytes])[0], "rows": list(found.items())}


def _proof(proof: Proof) -> dict[str, Any]:
    """Return what the proof of a model measured, as text."""
    return {
        "format": proof.format,
        "rows": proof.rows,
        "megabytes": aligned([proof.megabytes])[0],
        "memory": fixed(proof.memory, 0),
        "load_seconds": fixed(proof.load_seconds, 1),
        "at": _times(proof.milliseconds),
    }


def _times(milliseconds: dict[str, float]) -> dict[int, dict[str, str]]:
    """Return times by rows and quantile, as text."""
    found: dict[int, dict[str, str]] = {}
    for name, text in zip(milliseconds, aligned(list(milliseconds.values())), strict=True):
        quantile, _, rows = name.partition("/")
        found.setdefault(int(rows), {})[quantile] = text
    return dict(sorted(found.items()))
