"""How far a candidate's test rows have moved from the rows that the champion was trained on.

In: a contract, the candidate's Shards, its rows and splits, and the version that it was compared
with. Out: a Drift per column that both have, by the histograms that the version keeps; None where
it keeps none.
"""

from pathlib import Path

from data_contracts.contract import Contract
from tasks import registry
from tasks.database import literal
from tasks.drift import Drift, stability
from tasks.histograms import compared
from tasks.learning.reference import Histogram, read_reference
from tasks.learning.shift import bins, shift_of
from tasks.records import Shards


def champion_drift(
    contract: Contract, shards: Shards, rows: Path, splits: Path, version: str | None
) -> list[Drift] | None:
    """Return the drift of the test rows, the greatest index first; of several folds, the first's.

    `rows` is the snapshot's file, `splits` the file that says which row is in which split.
    """
    model = contract.registered_model
    if version is None or not registry.exists(model, version):
        return None
    found = read_reference(registry.bundle_folder(model, version))
    if found is None:
        return None
    fold = shards.folds[0].name
    where = f"SELECT _row FROM read_parquet({literal(str(splits))}) WHERE {fold} = 'test'"
    types = shards.checked.snapshot.columns
    pairs = compared(found, types, rows, where, splits)
    drifts = [_drift(contract, was, now) for was, now in pairs if _means(contract, was)]
    return sorted(drifts, key=lambda d: -d.index)


def _means(contract: Contract, was: Histogram) -> bool:
    columns = contract.target_columns if was.target else contract.feature_columns
    return was.column in columns


def _drift(contract: Contract, was: Histogram, now: Histogram) -> Drift:
    before, after = bins(was, now, missing=not was.target)
    meaning = (contract.target_columns if was.target else contract.feature_columns)[was.column]
    index, chance = stability(before, after)
    known, moved = sum(now.counts), shift_of(was, now)
    return Drift(
        column=was.column,
        target=was.target,
        unit=getattr(meaning, "unit", ""),
        index=index,
        chance=chance,
        low=was.low,
        high=was.high,
        outside=(now.counts[0] + now.counts[-1]) / known if known else None,
        distance=moved.value("distance"),
        missing=moved.value("missing"),
        labels=moved.new,
    )
