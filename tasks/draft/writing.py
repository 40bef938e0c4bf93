"""A plan as a commented contract.

In: a Plan. Out: YAML that reads back as a contract.
"""

from collections.abc import Iterator
from typing import Any

from tasks.draft.content import Plan
from tasks.draft.dividing import duration
from tasks.draft.facts import FEW, Fact
from tasks.draft.meanings import PLACEHOLDER, Meaning, measured, missing, seen
from tasks.draft.text import flow, line, name
from tasks.wording import rows_of

FEW_ROWS = 2000
"""With fewer rows, cross-validation is suggested."""
MOST_CHECKS = 100
"""How many suggested expectations are written out."""


def written(plan: Plan) -> str:
    """Return the draft."""
    parts = (_head, _source, _key, _features, _targets, _expectations, _split, _learning)
    return "\n\n".join("\n".join(part(plan)) for part in parts) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    dataset, named = plan.wish.dataset, _flat(plan.wish.named)
    yield "# yaml-language-server: $schema=./contract.schema.json"
    yield "#"
    yield f"# A draft, made by looking at {rows_of(plan.rows)}. It runs; before you rely on it:"
    yield f'# - write a unit for each "{PLACEHOLDER}": every error is reported in the target\'s;'
    yield "# - set bounds to what is possible: they are what was seen and half as much again;"
    yield "# - see that no feature is known only after its target, and mind the warnings."
    for warning in plan.warnings:
        yield f"# WARNING: {_flat(warning)}"
    yield "#"
    yield f"#   polycast check {named}"
    yield f"#   polycast retrain {named}"
    yield "#"
    yield "format: 1"
    yield f"dataset: {dataset}"
    yield 'description: ""'


def _source(plan: Plan) -> Iterator[str]:
    yield "source:"
    yield f"  kind: {plan.kind}"
    yield f"  path: {name(plan.path)}"
    for note in plan.query_notes:
        yield f"  # {_flat(note)}"
    if not plan.query:
        return
    if plan.query.replace("\n", "").isprintable():
        yield "  query: |"
        yield from (f"    {text}" for text in plan.query.split("\n"))
    else:
        yield f"  query: {name(plan.query)}"


def _key(plan: Plan) -> Iterator[str]:
    yield line(f"key: {flow(list(plan.key.columns))}", _flat(plan.key.note))
    if plan.time:
        yield f"time: {name(plan.time)}"


def _features(plan: Plan) -> Iterator[str]:
    yield "features:"
    for made in plan.features:
        yield _feature(plan, made)


def _feature(plan: Plan, made: Meaning) -> str:
    if not made.left:
        return line(f"  {name(made.name)}: {flow(made.entry)}", _flat(made.note))
    entry = f": {flow(made.entry)}" if made.entry else ""
    return line(f"  # {name(made.name)}{entry}", f"left out: {_flat(made.left)}")


def _targets(plan: Plan) -> Iterator[str]:
    yield "targets:"
    for target, fact in plan.targets.items():
        yield f"  {name(target)}:"
        for field, value in measured(fact).items():
            note = {"unit": "write the unit here", "bounds": seen(fact)}[field]
            yield line(f"    {field}: {flow(value)}", note)
        if present := plan.presents.get(target):
            yield line(f"    present: {name(present)}", "which the target is, of a later row")
            yield "    # transform: change    # learns the change from it"
        if told := missing(fact):
            yield f"    # {told}: masked where missing, never dropped"


def _expectations(plan: Plan) -> Iterator[str]:
    used = [plan.facts[m.name] for m in plan.features if not m.left] + list(plan.targets.values())
    yield "expectations:"
    tolerance = _tolerance(used, plan.rows)
    if tolerance:
        yield line(f"  tolerance: {tolerance}", "rows in quarantine: infinite values are, here")
    rows, table = list(_of_rows(plan)), list(_of_table(plan, used))
    if rows:
        yield "  rows:"
        yield from (f"    - {flow(check)}" for check in rows[:MOST_CHECKS])
    yield "  table:"
    yield from (f"    - {flow(check)}" for check in table[:MOST_CHECKS])
    if plan.time:
        yield "    # - {check: fresh, within: 7d}    # for a source that grows"


def _of_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    for made in plan.features:
        labels = () if made.left else plan.facts[made.name].labels
        if made.entry.get("kind") == "categorical" and 1 < len(labels) <= FEW:
            yield {"check": "one_of", "column": made.name, "values": list(labels)}


def _of_table(plan: Plan, used: list[Fact]) -> Iterator[dict[str, Any]]:
    yield {"check": "row_count", "min": max(1, plan.rows // 2)}
    for fact in used:
        most = round(min(1.0, max(2 * fact.missing, 0.01)), 2)
        if most < 1:
            yield {"check": "missing_share", "column": fact.name, "max": most}


def _tolerance(used: list[Fact], rows: int) -> float:
    """Return a tolerance that lets the infinite values through that there are; 0 for the usual."""
    share = sum(f.infinite for f in used if f.kind == "number") / max(1, rows)
    return round(min(1.0, 2 * share), 2) if share > 0.005 else 0.0


def _split(plan: Plan) -> Iterator[str]:
    yield line(f"split: {flow(plan.split)}", _flat(plan.split_note))
    if plan.time and plan.wish.group:
        group = flow({"kind": "group", "columns": [plan.wish.group]})
        yield f"# split: {group}    # for a model that answers for groups it has not seen"


def _learning(plan: Plan) -> Iterator[str]:
    yield line("recipe: auto", "nothing has to be tuned; polycast recipes lists the others")
    if plan.ahead:
        yield ""
        yield line(f"evaluation: {{lead: {duration(plan.ahead)}}}", "how far ahead the targets lie")
    elif plan.rows < FEW_ROWS and plan.split["kind"] in ("random", "group"):
        yield ""
        yield "# evaluation: {folds: 5, repeats: 3}    # few rows: judges by cross-validation"
    yield ""
    yield "gate:"
    yield "  rules:"
    yield "    - {rule: baseline, baseline: mean, by: 0.0}"
    yield "    # - {rule: baseline, baseline: ridge, by: 0.0}"
    yield "    - {rule: champion, margin: 0.02}"


def _flat(text: str) -> str:
    """Return text that stays on the line of its comment."""
    return "".join(c if c.isprintable() else "?" for c in text)
