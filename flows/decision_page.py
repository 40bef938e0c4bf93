"""What a person is shown who decides of a candidate: the numbers, as Markdown."""

from collections.abc import Iterator

from data_contracts.contract import Contract
from flows.names import how_to_decide
from tasks.records import Effect, Ruling, Run, Verdict
from tasks.storage import root_storage

MOST = 30
"""The most targets, and the most rulings, that are written out; the report has all."""


def decision_page(contract: Contract, run: Run, before: Run | None = None) -> str:
    """Return the numbers behind a waiting run as Markdown.

    before: the run that was decided of, where its candidate was judged again since.
    """
    verdict = run.publication.verdict
    parts = [_question(run), *_again(run, before), *_errors(contract, verdict), *_rulings(verdict)]
    report = root_storage().address(run.place, "report.html")
    parts.append(
        f"The whole report:\n\n```\n{report}\n```\n\nIn a terminal, {how_to_decide(run.id)}."
    )
    return "\n\n".join(parts)


def _question(run: Run) -> str:
    publication, scores = run.publication, run.publication.verdict.scores
    against = f"in place of version {scores.champion}" if scores.champion else "the first one"
    wish = f"champion, {against}"
    if scores.as_of:
        wish = f"kept as a version as of {scores.as_of}"
    return f"**Shall this candidate of {publication.model} be {wish}?** {scores.summary}."


def _again(run: Run, before: Run | None) -> Iterator[str]:
    if before is not None and before.publication.verdict.hash != run.publication.verdict.hash:
        yield (
            f"It was judged again since run {before.id}: the champion has moved, so what was "
            "decided then holds no longer."
        )


def _errors(contract: Contract, verdict: Verdict) -> Iterator[str]:
    scores = verdict.scores
    rivals = ["champion"] if "champion" in scores.models else ["persistence", "ridge", "mean"]
    others = [m for m in rivals if m in scores.models][:2]
    effects = {e.target: e for e in verdict.effects if e.slice is None}
    rows = []
    for name, target in list(contract.target_columns.items())[:MOST]:
        own, *theirs = (scores.of(m, name, "rmse") for m in ("candidate", *others))
        change = _change(own, theirs[0] if theirs else None, effects.get(name))
        numbers = [_number(own), change, *map(_number, theirs)]
        rows.append([f"{name}, {target.unit}", *numbers])
    if whole := effects.get("all"):
        rows.append(["critical targets", "", _change(None, None, whole), *[""] * len(others)])
    against = f"; the change is against {others[0]}" if others else ""
    head = ["target", "candidate", "change", *others]
    yield f"RMSE on the test rows, in the target's unit{against}:\n\n" + _table(head, rows)
    if (left := len(contract.target_columns) - MOST) > 0:
        yield f"And {left} more targets."


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _change(own: float | None, other: float | None, effect: Effect | None) -> str:
    """Return the change of the error, with its interval where it was tested."""
    if effect is not None:
        low, high = effect.low - 1, effect.high - 1
        return f"{effect.ratio - 1:+.1%} ({low:+.1%} to {high:+.1%})"
    return f"{own / other - 1:+.1%}" if own is not None and other else "–"


def _rulings(verdict: Verdict) -> Iterator[str]:
    """Yield the rulings that do not hold or are unsure, and how many there are of each rule."""
    if verdict.rebaseline:
        yield f"A new start was asked for: {verdict.rebaseline}"
    open_ones = [r for r in verdict.rulings if not r.passed or r.unsure]
    rows = [[_mark(r), r.rule, r.target, r.reason] for r in open_ones[:MOST]]
    if rows:
        yield "Rulings that do not hold, or that these rows cannot tell:\n\n" + _table(
            ["", "rule", "target", "numbers"], rows
        )
    held = len(verdict.rulings) - len(open_ones)
    yield f"{held} of {len(verdict.rulings)} rulings hold."


def _mark(ruling: Ruling) -> str:
    if ruling.unsure:
        return "?"
    return "✘" if ruling.blocks else "⚠"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(c.replace('|', chr(92) + '|') for c in line)} |" for line in lines
    )
