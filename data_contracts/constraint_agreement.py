"""Whether constraints that are to be enforced or counted agree with the rest of a contract."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_contracts.constraints import Constraint
from data_contracts.gate import ConstraintsRule
from data_contracts.section import Refusal, did_you_mean

if TYPE_CHECKING:
    from data_contracts.contract import Contract


def constraint_disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield each constraint, or rule on them, that does not agree with targets and recipe."""
    seen: set[str] = set()
    for i, constraint in enumerate(contract.constraints):
        path = ("constraints", i)
        if constraint.holds in seen:
            yield Refusal(path, "each constraint once", constraint.holds)
        seen.add(constraint.holds)
        if constraint.enforce:
            yield from _enforced(contract, constraint, path)
    counted = any(c in contract.target_columns for r in contract.constraints for c in r.columns)
    for i, rule in enumerate(contract.gate.rules):
        if isinstance(rule, ConstraintsRule) and not counted:
            expected = "a rule on something else, since no constraint names a target"
            yield Refusal(("gate", "rules", i, "rule"), expected, rule.rule)


def _enforced(
    contract: "Contract", constraint: Constraint, path: tuple[str | int, ...]
) -> Iterator[Refusal]:
    targets, features = contract.target_columns, contract.feature_columns
    known = [*targets, *(c for c, f in features.items() if f.kind in ("numeric", "cyclic"))]
    if not any(c in targets for c in constraint.columns):
        expected = "a constraint on at least one target, since predictions are made to hold it"
        yield Refusal((*path, "holds"), expected, constraint.holds)
        return
    for column in constraint.columns:
        if column not in known:
            expected = "targets and numbers among the features: predictions know nothing else"
            yield Refusal((*path, "holds"), expected, column, did_you_mean(column, known))
    if contract.recipe.architecture == "quantile":
        yield from _of_quantiles(contract, constraint, path)


def _of_quantiles(
    contract: "Contract", constraint: Constraint, path: tuple[str | int, ...]
) -> Iterator[Refusal]:
    """Quantiles keep the order of two targets, each times a positive number; no more than that."""
    linear = constraint.linear
    signs = [v > 0 for c, v in linear.coefficients.items() if c in contract.target_columns]
    ordered = len(signs) == 1 or sorted(signs) == [False, True]
    if linear.equal or not ordered:
        expected = "a <= b, or one target against features, since architecture quantile"
        expected += " predicts each target's quantiles, and those of a sum are no sum of them"
        hint = "choose joint_gaussian, mixture or cvae, or leave enforce out"
        yield Refusal((*path, "holds"), expected, constraint.holds, hint)
