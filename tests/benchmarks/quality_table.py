"""Ranks, gaps and times of `quality`, from the figures of its folds."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from rich.table import Table
from scipy.stats import rankdata

from tests.benchmarks.harness import Figures
from tests.benchmarks.quality_results import Result
from tests.benchmarks.quality_sets import PUBLISHED

OURS, PACE = "auto", "realmlp"
"""The model that figures without a model's name are of, and the one that times are measured by."""

Scores = dict[str, dict[str, float]]
"""By set, then by model."""


def figures(results: list[Result]) -> Figures:
    """Return all figures; those of `auto` have a short name too."""
    scores = _means(results, "arrmse")
    out: Figures = {f"arrmse.{s}.{m}": v for s, own in scores.items() for m, v in own.items()}
    out |= {
        f"fit_s.{s}.{m}": v for s, own in _means(results, "fit_s").items() for m, v in own.items()
    }
    out |= {f"mean_rank.{m}": v for m, v in mean_ranks(scores).items()}
    named = {f"worst_gap.{m}": v for m, v in worst_gaps(scores).items()}
    for kind in ("rmse", "arrmse"):
        for name, own in _means(results, kind).items():
            if name.endswith(PUBLISHED):
                short = name.removesuffix(PUBLISHED)
                named |= {f"{short}_{kind}.{m}": v for m, v in own.items()}
    for kind in ("fit_s", "cpu_s"):
        short = "time" if kind == "fit_s" else "cpu"
        named |= {f"{short}_vs_{PACE}.{m}": v for m, v in paces(results, kind).items()}
    ending = f".{OURS}"
    out |= {n.removesuffix(ending): v for n, v in named.items() if n.endswith(ending)}
    out |= named | {"cores": _cores(results)}
    return out


def _means(results: list[Result], kind: str) -> Scores:
    """Return the means over folds, where a model has as many as any on that set."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for r in results:
        found[r.set][r.model].append(getattr(r, kind))
    folds = {name: max(map(len, own.values())) for name, own in found.items()}
    return {
        name: {m: float(np.mean(v)) for m, v in own.items() if len(v) == folds[name]}
        for name, own in found.items()
    }


def mean_ranks(scores: Scores) -> dict[str, float]:
    """Return the mean rank of each model, over the sets that all models have."""
    ranks = _ranks(scores)
    models = _models(scores)
    whole = [own for own in ranks.values() if len(own) == len(models)]
    return {m: float(np.mean([own[m] for own in whole])) for m in models} if whole else {}


def _ranks(scores: Scores) -> Scores:
    """Return ranks from 1 on the sets that are ranked; equals share one."""
    own = {name: v for name, v in scores.items() if not name.endswith(PUBLISHED)}
    return {
        n: dict(zip(v, map(float, rankdata(list(v.values()))), strict=True)) for n, v in own.items()
    }


def worst_gaps(scores: Scores) -> dict[str, float]:
    """Return each model's largest (own - best) / best over the sets that are ranked."""
    gaps: dict[str, list[float]] = defaultdict(list)
    for name, own in scores.items():
        best = min(own.values())
        for model, value in own.items():
            if not name.endswith(PUBLISHED):
                gaps[model].append((value - best) / best)
    return {model: max(v) for model, v in gaps.items()}


def paces(results: list[Result], kind: str) -> dict[str, float]:
    """Return the median over folds of each model's time over RealMLP's with as many cores."""
    pace = {(r.set, r.fold, r.cores): getattr(r, kind) for r in results if r.model == PACE}
    ratios: dict[str, list[float]] = defaultdict(list)
    for r in results:
        fold = (r.set, r.fold, r.cores)
        if fold in pace and r.model != PACE:
            ratios[r.model].append(getattr(r, kind) / pace[fold])
    return {model: float(np.median(v)) for model, v in ratios.items()}


def _models(scores: Scores) -> list[str]:
    return list(dict.fromkeys(m for own in scores.values() for m in own))


def _cores(results: list[Result]) -> str:
    return ", ".join(map(str, sorted({r.cores for r in results})))


def table(results: list[Result]) -> Table:
    """Return a row per set: each model's aRRMSE, its rank, the seconds to fit a fold."""
    scores, seconds = _means(results, "arrmse"), _means(results, "fit_s")
    ranks, models = _ranks(scores), _models(scores)
    about = f"aRRMSE (rank), seconds to fit a fold; cores used: {_cores(results)}"
    out = Table("", *models, title=about)
    for name, own in scores.items():
        cells = (
            _cell(own.get(m), ranks.get(name, {}).get(m), seconds[name].get(m)) for m in models
        )
        out.add_row(name, *cells)
        if name.endswith(PUBLISHED):
            rmse = _means([r for r in results if r.set == name], "rmse")[name]
            out.add_row("  RMSE", *_numbers(models, rmse))
    out.add_section()
    out.add_row("mean rank", *_numbers(models, mean_ranks(scores)))
    out.add_row(
        "worst gap, %", *_numbers(models, {m: 100 * v for m, v in worst_gaps(scores).items()})
    )
    out.add_row("time / RealMLP's", *_numbers(models, paces(results, "fit_s")))
    return out


def _cell(score: float | None, rank: float | None, seconds: float | None) -> str:
    if score is None:
        return "–"
    place = "" if rank is None else f" ({rank:g})"
    return f"{score:.3f}{place}\n{seconds:.1f} s"


def _numbers(models: Iterable[str], values: dict[str, float]) -> list[str]:
    return [f"{values[m]:.3g}" if m in values else "–" for m in models]
