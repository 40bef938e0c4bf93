"""The model card: what a version predicts, from what, how well, and where not to trust it.

In: a contract, the Verdict that let it pass and the storage that holds its files. Out: Markdown.
It goes with the version: as its description, and as `model_card.md` beside its bundle.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_contracts.contract import Contract
from data_contracts.source import iso, moment
from tasks.database import connect, literal, quoted
from tasks.drift import Drift, drift
from tasks.environment import environment
from tasks.records import Approval, Distribution, Scores, Verdict
from tasks.storage import Storage
from tasks.wording import part_shares

LONGEST = 5000
"""The most characters that MLflow's database takes as a description."""
MOST_ROWS = 100
"""The most rows of one table; the rest are counted."""
LEVEL = 0.9
"""The level whose intervals are told."""
CUT = "\n\n… The whole card is `model_card.md`, beside the bundle."
PACKAGES = ("polycast", "keras", "tensorflow", "numpy", "pyarrow", "pandas", "mlflow")


def model_card(contract: Contract, verdict: Verdict, storage: Storage) -> str:
    """Return the card of the version that a verdict lets pass."""
    shards = verdict.scores.candidate.shards
    rows = storage.fetch(shards.checked.snapshot.place) / "rows.parquet"
    splits = storage.fetch(shards.place) / "splits.parquet"
    moved = drift(contract, shards, rows, splits)
    parts = [
        [f"# {contract.registered_model}", "", _plain(contract.description)],
        _predicts(contract),
        _use(contract, verdict),
        _data(contract, verdict.scores, " to ".join(period(contract, rows))),
        _recipe(contract, verdict.scores, storage),
        _scores(contract, verdict.scores),
        _intervals(contract, verdict.scores),
        _verdict(verdict),
        _limits(contract, verdict.scores, moved),
    ]
    return "\n\n".join("\n".join(part).strip() for part in parts) + "\n"


def description(card: str) -> str:
    """Return the card as a description that MLflow takes: cut at a line where it is too long."""
    if len(card) <= LONGEST:
        return card
    return card[: LONGEST - len(CUT)].rpartition("\n")[0].rstrip() + CUT


def _plain(text: str) -> str:
    """Return text of a contract so that it is neither Markdown's nor HTML's."""
    for sign in "\\`*_|[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("<", "&lt;").split())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    lines = [heads, ["---"] * len(heads), *found[:MOST_ROWS]]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    more = [f"\n{len(found) - MOST_ROWS:,} more."] if len(found) > MOST_ROWS else []
    return [*shown, *more]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _predicts(contract: Contract) -> list[str]:
    rows = (
        (
            f"`{name}`",
            _plain(t.description),
            _plain(t.unit),
            "–" if t.bounds is None else f"{t.bounds[0]:g} to {t.bounds[1]:g}",
            t.tier,
        )
        for name, t in contract.targets.items()
    )
    return [
        "## What it predicts",
        "",
        *_table(("target", "meaning", "unit", "bounds", "tier"), rows),
    ]


def period(contract: Contract, rows: Path) -> tuple[str, ...]:
    """Return the first and the last time of the snapshot, nothing without a time column."""
    if contract.time is None:
        return ()
    ends = ", ".join(
        f"make_timestamp({f}(epoch_us({quoted(contract.time)})))" for f in ("min", "max")
    )
    with connect([rows]) as database:
        found = database.execute(
            f"SELECT {ends} FROM read_parquet({literal(str(rows))})"
        ).fetchall()[0]
    return tuple(iso(moment(end)) for end in found if end is not None)


def _data(contract: Contract, scores: Scores, period: str) -> list[str]:
    shards = scores.candidate.shards
    checked = shards.checked
    lines = [
        "## Data",
        "",
        f"- Dataset `{contract.dataset}`, snapshot `{checked.snapshot.hash[:16]}`: "
        f"{checked.snapshot.rows:,} rows, {checked.quarantined:,} of them in quarantine",
        f"- {len(contract.feature_columns)} features, {len(contract.target_columns)} targets",
    ]
    if period:
        lines.append(f"- Rows from {period} (UTC)")
    for fold in shards.folds[:1]:
        counts = ", ".join(f"{name} {count:,}" for name, count in fold.rows.items())
        several = (
            f", {len(shards.folds)} folds, of which the first" if len(shards.folds) > 1 else ""
        )
        lines.append(f"- Split: {contract.split.kind}{several}: {counts}")
    return lines


def _recipe(contract: Contract, scores: Scores, storage: Storage) -> list[str]:
    candidate, recipe = scores.candidate, contract.recipe
    return [
        "## Recipe",
        "",
        f"`{recipe.architecture}`, {candidate.parameters:,} parameters, {candidate.epochs} epochs "
        f"(best {candidate.best_epoch}), seed {recipe.seed}, on {candidate.device}. "
        "All options are in the version's contract.",
        *_blend(storage.fetch(candidate.place) / "shares.json"),
        *_found(contract),
    ]


def _blend(file: Path) -> list[str]:
    """Return what the answer is blended of, where it is a blend."""
    if not file.is_file():
        return []
    shares = json.loads(file.read_text("utf-8"))
    parts = ", ".join(f"{name} {share}" for name, share in part_shares(shares).items())
    told = ["", f"The answer is blended of {parts}."]
    if "kernel" in shares:
        told[-1] += " The kernel's part holds the scaled inputs of its train rows."
    return told


def _found(contract: Contract) -> list[str]:
    """Return where the recipe comes from, where a search has found it."""
    found = contract.tuning and contract.tuning.found
    return ["", f"Found by tuning on validation rows. {_plain(found)}"] if found else []


def _scores(contract: Contract, scores: Scores) -> list[str]:
    others = [m for m in scores.models if m != "candidate"]
    told = {"candidate": "this model", "champion": "champion before"}
    models = ["candidate", *others]
    heads = ("target", "unit", "rows", *(f"RMSE {told.get(m, m)}" for m in models), "MAE", "R²")
    rows = (
        (
            f"`{name}`",
            _plain(target.unit),
            f"{sum(s.rows for s in scores.scores if (s.model, s.target) == ('candidate', name)):,}",
            *(_number(scores.of(m, name, "rmse")) for m in models),
            _number(scores.of("candidate", name, "mae")),
            _number(scores.of("candidate", name, "r2")),
        )
        for name, target in contract.target_columns.items()
    )
    return ["## Errors on the test rows", "", *_table(heads, rows)]


def _intervals(contract: Contract, scores: Scores) -> list[str]:
    rows = []
    for name, target in contract.target_columns.items():
        own = [s.distribution for s in scores.scores if (s.model, s.target) == ("candidate", name)]
        pairs = [_at_level(d) for d in own if d and LEVEL in d.levels]
        if pairs:
            inside, width = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
            rows.append((f"`{name}`", f"{inside:.1%}", f"{width:.4g} {_plain(target.unit)}"))
    if not rows:
        return ["## Intervals", "", "It answers without intervals."]
    heads = ("target", "truths inside", "mean width")
    return ["## Intervals", "", f"Of the {LEVEL:.0%} intervals:", "", *_table(heads, rows)]


def _at_level(found: Distribution) -> tuple[float, float]:
    place = found.levels.index(LEVEL)
    return found.coverage[place], found.width[place]


def _verdict(verdict: Verdict) -> list[str]:
    rulings, scores = verdict.rulings, verdict.scores
    held = sum(r.passed for r in rulings)
    lines = ["## Verdict", "", f"{verdict.outcome}: {held} of {len(rulings)} rulings hold."]
    whole = next((e for e in verdict.effects if e.target == "all" and e.slice is None), None)
    if whole:
        rival = scores.opponent if scores.as_of else "the champion"
        lines.append(
            f"Error against {rival}'s, over all critical targets: {whole.ratio - 1:+.1%}, "
            f"{whole.low - 1:+.1%} to {whole.high - 1:+.1%}."
        )
    if verdict.rebaseline:
        lines.append(f"Not compared with the champion, on purpose: {_plain(verdict.rebaseline)}.")
    if verdict.approval:
        lines.append(_approval(verdict.approval))
    missed = [r for r in rulings if not r.passed]
    lines += [f"- `{r.target}`: {_plain(r.rule)}: {_plain(r.reason)}" for r in missed[:MOST_ROWS]]
    return lines


def _approval(approval: Approval) -> str:
    why = f": {_plain(approval.reason)}" if approval.reason else ""
    return f"{approval.decision.capitalize()} by {_plain(approval.by)}, {approval.when}{why}."


def _limits(contract: Contract, scores: Scores, moved: Sequence[Drift]) -> list[str]:
    lines = ["## Limits of use", ""]
    if scores.worst:
        lines += ["Surely worse than on the whole in these parts of the rows:", ""]
        worst = (
            (s.slice, f"`{s.target}`", f"{s.rows:,}", _number(s.rmse), f"{s.ratio:.2f}")
            for s in scores.worst
        )
        heads = ("slice", "target", "rows", "RMSE", "times that of all rows")
        lines += [*_table(heads, ((_plain(r[0]), *r[1:]) for r in worst)), ""]
    lines += ["Outside of what the train rows hold it has learned nothing:", ""]
    return [*lines, *_table(("feature", "train rows", "unit", "test rows outside"), _ranges(moved))]


def _ranges(moved: Sequence[Drift]) -> Iterator[Sequence[str]]:
    for d in moved:
        if not d.target and d.low is not None and d.high is not None:
            outside = f"{d.outside or 0.0:.1%}"
            yield f"`{d.column}`", f"{d.low:.4g} to {d.high:.4g}", _plain(d.unit), outside


def _use(contract: Contract, verdict: Verdict) -> list[str]:
    name = contract.registered_model
    where = f"{name}/VERSION" if verdict.scores.as_of else f"{name}@champion"
    packages = environment()["packages"]
    versions = ", ".join(f"{p} {packages[p]}" for p in PACKAGES if p in packages)
    return [
        "## How to use it",
        "",
        "It takes raw rows and answers in the targets' units:",
        "",
        "```python",
        f'model = mlflow.pyfunc.load_model("models:/{where}")',
        "model.predict(rows)",
        "```",
        "",
        f"Made with {versions}.",
    ]
