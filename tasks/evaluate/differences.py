"""In what the champion's contract differs from today's, and which targets can be compared still.

A column of the same name in another unit is another column: a model that reads or answers the
old one is not compared on it.
"""

from collections.abc import Iterator, Mapping

from data_contracts.columns import CategoricalFeature, Feature, TimestampFeature, expand
from data_contracts.contract import Contract
from tasks.records import Difference


def differences(old: Contract, new: Contract) -> tuple[Difference, ...]:
    """Return every difference that matters to a comparison, in words."""
    return (
        *target_differences(_units(old), new),
        *_changed_targets(old, new),
        *_features(old, new),
        *_rows(old, new),
    )


def shared_targets(
    old: Mapping[str, str], new: Contract, found: tuple[Difference, ...]
) -> tuple[str, ...]:
    """Return the target columns that both predict in the same unit, in today's order.

    `old` has the champion's target columns with their units. There are none where a feature
    came into another unit: the champion would read all rows wrongly.
    """
    if any(d.parts and d.name in new.features for d in found):
        return ()
    return tuple(c for c, t in new.target_columns.items() if old.get(c) == t.unit)


def target_differences(old: Mapping[str, str], new: Contract) -> Iterator[Difference]:
    """Yield the targets that came, went, or changed their unit since `old` (columns to units)."""
    now = _units(new)
    for name in _named(new.targets, [c for c in now if c not in old]):
        words = f"{name} is predicted now, and was not"
        yield Difference(kind="target added", name=name, words=words, parts=True)
    for name in (c for c in old if c not in now):
        words = f"{name} was predicted, and is no longer"
        yield Difference(kind="target removed", name=name, words=words, parts=True)
    changed = [c for c in now if c in old and old[c] != now[c]]
    for name in _named(new.targets, changed):
        column = expand(name)[0]
        words = f"{name} was in {old[column]}, and is in {now[column]}"
        yield Difference(kind="unit", name=name, words=words, parts=True)


def _units(contract: Contract) -> dict[str, str]:
    return {column: target.unit for column, target in contract.target_columns.items()}


def _named(entries: Mapping[str, object], columns: list[str]) -> Iterator[str]:
    """Yield a vector's name where all of its columns are there, else the columns one by one."""
    asked = set(columns)
    for name in entries:
        own = [c for c in expand(name) if c in asked]
        yield from [name] if len(own) == len(expand(name)) else own


def _changed_targets(old: Contract, new: Contract) -> Iterator[Difference]:
    for name in new.targets:
        if name not in old.targets:
            continue
        was, now = old.targets[name], new.targets[name]
        if was.transform != now.transform:
            words = f"{name} was learned as {was.transform}, and is as {now.transform}"
            yield Difference(kind="transform", name=name, words=words)
        for what in ("description", "present"):
            before, after = getattr(was, what), getattr(now, what)
            if before != after:
                words = f"{name}: {what} was {before or 'absent'}, and is {after or 'absent'}"
                yield Difference(kind="meaning", name=name, words=words)


def _features(old: Contract, new: Contract) -> Iterator[Difference]:
    for name in (n for n in new.features if n not in old.features):
        words = f"{name} is a feature now, and was not"
        yield Difference(kind="feature added", name=name, words=words)
    for name in (n for n in old.features if n not in new.features):
        words = f"{name} was a feature, and is no longer"
        yield Difference(kind="feature removed", name=name, words=words)
    for name in (n for n in new.features if n in old.features):
        was, now = old.features[name], new.features[name]
        if (before := _unit(was)) != (after := _unit(now)):
            words = f"{name} was in {before or 'no unit'}, and is in {after or 'no unit'}"
            yield Difference(kind="unit", name=name, words=words, parts=True)
        if _read(was) != _read(now):
            words = f"{name} was read as {_read(was)}, and is as {_read(now)}"
            yield Difference(kind="feature changed", name=name, words=words)


def _unit(feature: Feature) -> str:
    return "" if isinstance(feature, CategoricalFeature | TimestampFeature) else feature.unit


def _read(feature: Feature) -> str:
    """Return how a feature is encoded, in words."""
    options = feature.model_dump(exclude={"kind", "description", "unit", "bounds"}).values()
    shown = [", ".join(map(str, o)) if isinstance(o, tuple) else f"{o}" for o in options]
    return " ".join([feature.kind, *shown])


def _rows(old: Contract, new: Contract) -> Iterator[Difference]:
    """Yield what the rows themselves are made of anew: then a column may mean something else."""
    for what, before, after in (
        ("key", ", ".join(old.key), ", ".join(new.key)),
        ("time", old.time or "absent", new.time or "absent"),
    ):
        if before != after:
            words = f"the {what} of a row was {before}, and is {after}"
            yield Difference(kind="meaning", name=what, words=words)
    if old.source.query != new.source.query:
        words = "the query that makes the rows is another"
        yield Difference(kind="meaning", name="source.query", words=words)
