"""Whether the names in a gate's rules agree with the rest of the contract."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_contracts.columns import CategoricalFeature, TimestampFeature
from data_contracts.gate import SLICED, AbsoluteRule, BaselineRule, Rule
from data_contracts.section import Refusal, did_you_mean

if TYPE_CHECKING:
    from data_contracts.contract import Contract

Path = tuple[str | int, ...]

QUARTERS = ("quarter 1", "quarter 2", "quarter 3", "quarter 4", "missing")
CALENDAR = {
    "season": ("winter", "spring", "summer", "autumn"),
    "hour": ("00-06", "06-12", "12-18", "18-24"),
}
MISSING = ("none", "some")


def gate_disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield each name in a rule that the contract does not know, at the key that holds it."""
    for i, rule in enumerate(contract.gate.rules):
        path: Path = ("gate", "rules", i)
        yield from _targets(contract, rule, path)
        if isinstance(rule, BaselineRule):
            yield from _baseline(contract, rule, path)
        if isinstance(rule, AbsoluteRule | BaselineRule) and rule.slice is not None:
            yield from _slice(contract, rule, path)


def _targets(contract: "Contract", rule: Rule, path: Path) -> Iterator[Refusal]:
    known = [*contract.target_columns, *contract.groups()]
    empty = set(contract.target_groups).difference(known)
    for j, name in enumerate(getattr(rule, "targets", ())):
        if name not in known:
            few = "a target group with a target in it"
            expected = few if name in empty else "a target or a target group"
            yield Refusal((*path, "targets", j), expected, name, did_you_mean(name, known))


def _baseline(contract: "Contract", rule: BaselineRule, path: Path) -> Iterator[Refusal]:
    """The default rules name more baselines than a contract must have: those are silent then."""
    baselines = contract.evaluation.baselines
    if rule.baseline not in baselines and "rules" in contract.gate.model_fields_set:
        expected = f"one of evaluation.baselines: {', '.join(baselines)}"
        yield Refusal((*path, "baseline"), expected, rule.baseline)


def _slice(
    contract: "Contract", rule: AbsoluteRule | BaselineRule, path: Path
) -> Iterator[Refusal]:
    column, equals, label = str(rule.slice).partition("=")
    known = slice_labels(contract)
    if not equals or column not in known:
        expected = f"COLUMN=LABEL, with one of the columns {', '.join(known)}"
        yield Refusal((*path, "slice"), expected, rule.slice, did_you_mean(column, list(known)))
    elif known[column] and label not in known[column]:
        expected = " or ".join(f"{column}={label}" for label in known[column])
        yield Refusal((*path, "slice"), expected, rule.slice)
    if rule.metric not in SLICED:
        expected = f"{' or '.join(SLICED)}, which slices have"
        yield Refusal((*path, "metric"), expected, rule.metric)


def slice_labels(contract: "Contract") -> dict[str, tuple[str, ...]]:
    """Return the labels of the slices that each column may make; none where any label may be."""
    found: dict[str, tuple[str, ...]] = {}
    moments = [contract.time] if contract.time else []
    for column, feature in contract.feature_columns.items():
        if isinstance(feature, TimestampFeature):
            moments.append(column)
        else:
            found[column] = () if isinstance(feature, CategoricalFeature) else QUARTERS
    if moments:
        found |= {name: labels for name, labels in CALENDAR.items() if name not in found}
    return {"missing": MISSING} | found
