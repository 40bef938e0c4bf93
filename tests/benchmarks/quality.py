"""How good the default recipe is: peers and ours on the same folds of every set.

python -m tests.benchmarks.quality [--sets A,B] [--models A,B] [--results DIR] [--json FILE]

Sets are read from POLYCAST_BENCH_DATA, and skipped where they are not there; `nyc_weather` always
is. `quality_sets` says how rows are divided, `quality_models` what the models are. Peers need an
environment of their own, and are left out where they are not installed:

    python -m venv peers
    peers/bin/pip install -c constraints.txt -e . torch pytabkit catboost xgboost

Where pip finds torch with CUDA alone, PyTorch's own page says where its CPU build is. Every model
takes one thread per core that the process may run on: with `taskset -c 1` before the command, one.

A model of ours may bring options: `--models auto,auto:dropout=0.1,auto:hidden=[256,256]` (in
quotes; a comma before a word and `=` goes on with the options). Each finished fold is kept in
`--results` and used again, however the run ended. Folds of `auto` that other code measured are
measured anew, unless `--any-code` is given. `plain` is a fixed point: other code does not matter.

Figures, over the folds of each set that are all there:

- arrmse.SET.MODEL    the mean over folds and targets of sqrt(SSE / SSE of the train mean)
- mean_rank.MODEL     over sets; 1 is best. The published splits are not ranked
- worst_gap           the largest (auto - best) / best over sets, `worst_gap.MODEL` another's
- SET_rmse            auto's RMSE on the published split of scm20d and rf1, in raw units over all
                      targets; SET_arrmse the same as aRRMSE; SET_rmse.MODEL another's
- time_vs_realmlp     the median over folds of auto's fitting time over RealMLP's, where both had
                      as many cores; `cpu_vs_realmlp` in processor time, which others at work on
                      the machine change less
"""

import argparse
import os
import re
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.reading import read_value
from data_contracts.recipes import architecture_names
from tests.benchmarks import quality_models as models
from tests.benchmarks.harness import show
from tests.benchmarks.quality_results import Kept, Result, code, versions
from tests.benchmarks.quality_sets import SETS, Set, Values, load
from tests.benchmarks.quality_table import figures, table

DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "pytabkit": ("pytabkit", "torch")}
"""Whose versions decide what a peer answers; a package's own where it is not named here."""
IMPORTED = {
    "sklearn": ("sklearn.ensemble", "sklearn.linear_model"),
    "tasks": ("tasks.backends.tensorflow", "tasks.learning.fitting"),
}
"""Modules that a fit imports, besides its package."""
KERAS = ("keras", "tensorflow")
MODELS = (*models.PEERS, "plain", "auto")
QUICK_SETS, QUICK_FOLDS = ("slump", "jura", "enb"), 1


def recipe(model: str) -> dict[str, Any]:
    """Return the recipe of one of ours by its name and options."""
    name, _, options = model.partition(":")
    base = models.PLAIN if name == "plain" else {"architecture": name}
    pairs = (pair.partition("=") for pair in _split(options))
    return base | {key: read_value(value) for key, _, value in pairs}


def _split(names: str) -> list[str]:
    """Return what commas part; not where a bracket is open."""
    return [n for n in re.split(r",(?![^\[{]*[\]}])", names) if n]


def _names(words: str) -> list[str]:
    """Return models; a part like `dropout=0.1` belongs to the model before it."""
    out: list[str] = []
    for part in _split(words):
        if out and ":" in out[-1] and ":" not in part and "=" in part:
            out[-1] += f",{part}"
        else:
            out.append(part)
    return out


def why_not(model: str) -> str:
    """Return why a model cannot be had here, nothing where it can."""
    name = model.partition(":")[0]
    if model in models.PEERS:
        package = models.PEERS[model].package
        return "" if find_spec(package) else f"{package} is not installed"
    if name != "plain" and name not in architecture_names():
        return "no architecture has this name"
    return ""


def measured(data: Set, model: str, fold: int, kept: Kept) -> Result:
    """Return the figures of a fold, measured where they are not kept."""
    peer = models.PEERS.get(model)
    package = peer.package if peer else "tasks"
    used = versions(DISTRIBUTIONS.get(package, (package,)) if peer else KERAS)
    decides = [data.digest(fold), peer.options if peer else recipe(model), used]
    own = "" if peer or model.startswith("plain") else code()
    file = kept.file(data.name, model, fold, decides)
    found = kept.find(file, own)
    if found is None:
        for module in (package, *IMPORTED.get(package, ())):  # imports are no part of the time
            import_module(module)
        found = _measure(data, model, fold, used, own)
        kept.put(file, found)
        print(
            f"{data.name} {model} fold {fold + 1} of {len(data.folds)}: aRRMSE "
            f"{found.arrmse:.4f}, fit {found.fit_s:.1f} s",
            flush=True,
        )
    return found


def _measure(data: Set, model: str, fold: int, used: dict[str, str], own: str) -> Result:
    peer, part = models.PEERS.get(model), data.folds[fold]
    if not peer:
        models.forget()
    start, busy = time.perf_counter(), time.process_time()
    if peer:
        fitted = models.fit_peer(peer, data, part)
    else:
        answer = models.fit_ours(recipe(model), data, part)
    fit_s, cpu_s = time.perf_counter() - start, time.process_time() - busy
    start = time.perf_counter()
    predicted = fitted(data.inputs[part.test]) if peer else answer()
    predict_s = time.perf_counter() - start
    # The train mean is that of all rows that a fold does not test, but for the published split.
    base = part.train if data.published else np.concatenate([part.train, part.validation])
    truth = data.targets[part.test]
    error = _sums(predicted - truth)
    rrmse = np.sqrt(error / _sums(truth - np.nanmean(data.targets[base], axis=0)))
    if not np.isfinite(predicted).all():
        raise ValueError(f"{model} answers with {np.sum(~np.isfinite(predicted))} cells missing")
    return Result(
        set=data.name,
        model=model,
        fold=fold,
        arrmse=float(np.mean(rrmse)),
        rmse=float(np.sqrt(error.sum() / np.isfinite(truth).sum())),
        rrmse=dict(zip(data.contract.target_columns, map(float, rrmse), strict=True)),
        fit_s=fit_s,
        predict_s=predict_s,
        cpu_s=cpu_s,
        cores=models.CORES,
        versions=used,
        code=own,
    )


def _sums(gaps: Values) -> Values:
    """Return the sum of squares by target."""
    return np.asarray(np.nansum(gaps**2, axis=0))


def measure(options: argparse.Namespace) -> tuple[list[Result], bool]:
    """Return the figures of every fold of sets whose folds are all there; and if any is not."""
    kept, out, failed = Kept(options.results, options.any_code), [], False
    chosen = [m for m in options.models if not _skipped(m)]
    for name in options.sets:
        data = load(name)
        folds = range(len(data.folds) if data else 0)[: QUICK_FOLDS if options.quick else None]
        for model in chosen:
            try:
                out += [measured(data, model, fold, kept) for fold in folds] if data else []
            except Exception as fault:  # a peer's own: the others go on, and the end says so
                print(f"failed: {name} {model}: {type(fault).__name__}: {fault}", flush=True)
                failed = True
    return out, failed


def _skipped(model: str) -> bool:
    reason = why_not(model)
    if reason:
        print(f"skipped: {model} ({reason})", flush=True)
    return bool(reason)


def main() -> None:
    """Measure what is asked for and is not kept, and print one table."""
    parser = argparse.ArgumentParser(description="How good the default recipe is")
    parser.add_argument("--quick", action="store_true", help="one fold of three small sets")
    parser.add_argument("--sets", type=_split, metavar="A,B", help=f"of {', '.join(SETS)}")
    parser.add_argument("--models", type=_names, metavar="A,B", default=list(MODELS))
    folder = Path(".benchmarks/quality")
    parser.add_argument("--results", type=Path, metavar="DIR", default=folder)
    parser.add_argument("--any-code", action="store_true", help="use what other code measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args()
    options.sets = options.sets or list(QUICK_SETS if options.quick else SETS)
    unknown = [n for n in options.sets if n not in SETS]
    unknown += [m for m in options.models if m.partition(":")[0] not in MODELS]
    if unknown:
        parser.error(
            f"expected sets of {', '.join(SETS)}, models of {', '.join(MODELS)}, came "
            f"{', '.join(unknown)}"
        )
    results, failed = measure(options)
    if results:
        show(figures(results), "Quality", options.json, table=lambda _: table(results))
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
