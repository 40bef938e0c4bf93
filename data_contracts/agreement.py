"""Whether the names in a contract's sections agree with one another."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_contracts.columns import NumericFeature, expand, vector_name
from data_contracts.constraint_agreement import constraint_disagreements
from data_contracts.format_agreement import format_disagreements
from data_contracts.gate_agreement import gate_disagreements
from data_contracts.learning_agreement import learning_disagreements
from data_contracts.section import Refusal, did_you_mean
from data_contracts.source import iso
from data_contracts.split import BlockedSplit, ColumnSplit, StratifiedSplit, TimeSplit
from data_contracts.tuning_agreement import tuning_disagreements

if TYPE_CHECKING:
    from data_contracts.contract import Contract


def disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield each name that does not agree with the rest, at the key that holds it.

    The contract's sections are valid, each by itself.
    """
    yield from _key(contract)
    yield from _time(contract)
    yield from _dated(contract)
    yield from _timely(contract)
    yield from _stratified(contract)
    yield from _features(contract)
    yield from _targets(contract)
    yield from _target_groups(contract)
    yield from learning_disagreements(contract)
    yield from constraint_disagreements(contract)
    yield from _row_weight(contract)
    yield from _folds(contract)
    yield from _hosts(contract)
    yield from gate_disagreements(contract)
    yield from format_disagreements(contract)
    yield from tuning_disagreements(contract)


def _key(contract: "Contract") -> Iterator[Refusal]:
    for i, column in enumerate(contract.key):
        if column in contract.key[:i]:
            yield Refusal(("key", i), "each column once", column)


def _time(contract: "Contract") -> Iterator[Refusal]:
    timed = isinstance(contract.split, TimeSplit | BlockedSplit)
    if timed and contract.time is None:
        yield Refusal(("time",), "a column, since the split is by time", None)
    elif contract.source.as_of is not None and contract.time is None:
        expected = "nothing, since the contract names no time column"
        hint = "name the column that says when a row was observed: time: COLUMN"
        yield Refusal(("source", "as_of"), expected, iso(contract.source.as_of), hint)


def _dated(contract: "Contract") -> Iterator[Refusal]:
    for field in ("window", "incremental"):
        came = getattr(contract.source, field)
        if came is not None and contract.time is None:
            expected = "nothing, since the contract names no time column"
            hint = "name the column that says when a row was observed: time: COLUMN"
            yield Refusal(("source", field), expected, came, hint)


def _timely(contract: "Contract") -> Iterator[Refusal]:
    for i, check in enumerate(contract.expectations.table):
        if check.check in ("fresh", "increasing") and contract.time is None:
            expected = "a check that needs no time, since the contract names no time column"
            yield Refusal(("expectations", "table", i, "check"), expected, check.check)


def _features(contract: "Contract") -> Iterator[Refusal]:
    seen: set[str] = set()
    for name in contract.features:
        for column in sorted(seen.intersection(expand(name))):
            yield Refusal(("features", name), "columns that no other feature names", column)
        seen.update(expand(name))
        feature = contract.features[name]
        filled = isinstance(feature, NumericFeature) and feature.impute == "forward_fill"
        if filled and contract.time is None:
            expected = "another way, since the contract names no time column"
            yield Refusal(("features", name, "impute"), expected, "forward_fill")


def _stratified(contract: "Contract") -> Iterator[Refusal]:
    split, known = contract.split, list(contract.target_columns)
    if isinstance(split, StratifiedSplit) and split.target not in known:
        expected = f"one of the targets: {', '.join(known[:10])}"
        hint = did_you_mean(split.target, known)
        yield Refusal(("split", "target"), expected, split.target, hint)


def _targets(contract: "Contract") -> Iterator[Refusal]:
    seen: set[str] = set()
    features = set(contract.feature_columns)
    for name in contract.targets:
        columns = expand(name)
        for column in sorted(seen.intersection(columns)):
            yield Refusal(("targets", name), "columns that no other target names", column)
        for column in sorted(features.intersection(columns)):
            yield Refusal(("targets", name), "columns that are no features", column)
        seen.update(columns)
        yield from _group(contract, name)
        yield from _present(contract, name)


def _group(contract: "Contract", name: str) -> Iterator[Refusal]:
    group, known = contract.targets[name].group, list(contract.target_groups)
    if group is not None and group not in known:
        expected = f"one of target_groups: {', '.join(known) or 'none are named'}"
        yield Refusal(("targets", name, "group"), expected, group, did_you_mean(group, known))


def _present(contract: "Contract", name: str) -> Iterator[Refusal]:
    present, size = contract.targets[name].present, len(expand(name))
    if present is not None and len(expand(present)) != size:
        expected = f"as many columns as {name} has, {size}"
        yield Refusal(("targets", name, "present"), expected, present)
    if present is None and contract.targets[name].transform == "change":
        expected = "a column, since the transform is the change from it"
        yield Refusal(("targets", name, "present"), expected, None)


def _target_groups(contract: "Contract") -> Iterator[Refusal]:
    taken = {*contract.target_columns, *filter(None, map(vector_name, contract.targets))}
    for name in contract.target_groups:
        if name in taken:
            yield Refusal(("target_groups", name), "a name that no target has", name)


def _row_weight(contract: "Contract") -> Iterator[Refusal]:
    if contract.row_weight in contract.target_columns:
        yield Refusal(("row_weight",), "a column that is no target", contract.row_weight)


def _folds(contract: "Contract") -> Iterator[Refusal]:
    evaluation, split = contract.evaluation, contract.split
    if evaluation.folds is None:
        hint = "it says something of cross-validation alone: add folds: 5, or remove it"
        if evaluation.repeats != 1:
            expected = "1, since evaluation.folds is not set"
            yield Refusal(("evaluation", "repeats"), expected, evaluation.repeats, hint)
        if evaluation.publish != "refit":
            expected = "refit, since evaluation.folds is not set"
            yield Refusal(("evaluation", "publish"), expected, evaluation.publish, hint)
    elif isinstance(split, ColumnSplit):
        expected = "nothing, since the split is by column: each row has one split, and no folds"
        hint = "choose another split.kind, or remove folds"
        yield Refusal(("evaluation", "folds"), expected, evaluation.folds, hint)
    elif isinstance(split, BlockedSplit) and evaluation.folds > split.blocks:
        expected = f"at most split.blocks, {split.blocks}: each fold tests on stretches of its own"
        yield Refusal(("evaluation", "folds"), expected, evaluation.folds)
    elif isinstance(split, TimeSplit) and evaluation.repeats != 1:
        expected = "1, since the split is by time: rows in order of time have one division only"
        hint = "remove repeats; more folds give more origins"
        yield Refusal(("evaluation", "repeats"), expected, evaluation.repeats, hint)
    if evaluation.folds is not None and contract.training.start != "scratch":
        expected = "scratch, since evaluation.folds tests on rows that a version has learned from"
        yield Refusal(("training", "start"), expected, contract.training.start)


def _hosts(contract: "Contract") -> Iterator[Refusal]:
    training = contract.training
    if training.hosts > 1 and training.parallel != "data":
        expected = f"data, since training.hosts is {training.hosts}"
        hint = "each host has the whole network and a part of every batch"
        yield Refusal(("training", "parallel"), expected, training.parallel, hint)
    if training.hosts > 1 and training.engine == "pool":
        expected = f"auto or process, since training.hosts is {training.hosts}"
        hint = "`polycast train` begins on each host; a run on the pool gpu is one process"
        yield Refusal(("training", "engine"), expected, training.engine, hint)
