"""Preprocess: divide the rows, fit scalers and encoders on train rows alone, write the shards.

In: a contract and the Checked rows. Out: Shards, per fold `preprocessing.json` and one Parquet
file a split (of many rows, a folder of files), with float32 columns `x/<input>`, `y/<target>`
(scaled, null where missing) and `weight`; and the same for the refit that cross-validation may
publish. `before.parquet` keeps what stands in for missing values, where a feature is filled from
the rows before. Raises DataError where a split has too few rows, and Unsuitable where a target's
output or transform cannot take its train values.
A column that holds targets from beyond the split's gap is a DataError too.

The rows are read twice, once for the numbers that are fitted and once for the shards, in stretches
that all processors share: memory does not grow with the rows. Up to EXACT_CELLS, the train rows
are held in memory and their quantiles are exact; beyond, they come from a sketch.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.columns import expand
from data_contracts.contract import Contract
from data_contracts.split import SPLITS
from tasks.database import columns, connect, literal
from tasks.division import Codes, read_codes, table_codes, write_splits
from tasks.errors import DataError
from tasks.folding import divide
from tasks.forward_fill import FILE, write_before
from tasks.leaks import SAMPLE_ROWS, check_leaks, sampled_columns
from tasks.learning.fit_preprocessing import fit, infinite_columns
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import shard_schema
from tasks.learning.train_sums import Train, TrainRows, merged
from tasks.orchestration import stage_task, table
from tasks.records import REFIT, Checked, Fold, Shards, fold_name
from tasks.splitting import check_counts, split_sql
from tasks.spread import spread
from tasks.stage import Stage
from tasks.storage import root_storage
from tasks.stretches import (
    Pass,
    Rows,
    fit_columns,
    sum_stretch,
    train_rows,
    write_empty,
    write_stretch,
)

EXACT_CELLS = 2**25
"""Up to how many cells of train rows are held in memory, where quantiles are exact: 256 MiB."""

Division = tuple[Codes, dict[str, int]]
"""The code of the split of each row of the snapshot, and how many rows each split has."""


def write_shards(
    contract: Contract, checked: Checked, rows: Path, quarantine: Path, folder: Path
) -> Shards:
    """Write splits, fitted numbers and shards into `folder`.

    `rows` is the snapshot's file; the rows that `quarantine` holds are left out.
    """
    before = folder / FILE
    with connect([rows, quarantine]) as database:
        database.execute(f"CREATE VIEW kept AS {_kept(rows, quarantine)}")
        _check_leaks(contract, database)
        divisions = _divide(contract, database, rows, folder / "splits.parquet")
        spans = [(s.start, s.stop) for s in Rows(rows, divisions[0][0]).stretches]
        filled = write_before(contract, database, spans, before)
    made = [
        _write_fold(contract, Rows(rows, codes), counts, i, folder, before if filled else None)
        for i, (codes, counts) in divisions.items()
    ]
    folds = tuple(fold for fold in made if fold.index != REFIT)
    refit = next((fold for fold in made if fold.index == REFIT), None)
    targets = tuple(contract.target_columns)
    return Shards(checked=checked, folds=folds, refit=refit, targets=targets)


def _kept(rows: Path, quarantine: Path) -> str:
    """Return the query of the rows that are not in quarantine."""
    every = f"SELECT * FROM read_parquet({literal(str(rows))})"
    if not pq.read_metadata(quarantine).num_rows:  # spares a join of all rows
        return every
    return f"{every} WHERE _row NOT IN (SELECT _row FROM read_parquet({literal(str(quarantine))}))"


def _check_leaks(contract: Contract, database: Any) -> None:
    names = sampled_columns(contract)
    if names:
        query = f"SELECT {columns(names)} FROM kept WHERE _row < {SAMPLE_ROWS}"
        check_leaks(contract, database.sql(query).to_arrow_table())


def _divide(contract: Contract, database: Any, rows: Path, file: Path) -> dict[int, Division]:
    """Return the divisions by their indices, and write them in order of `_row`."""
    count = pq.read_metadata(rows).num_rows
    if not contract.evaluation.folds:
        codes, counts = read_codes(database, split_sql(contract, "kept"), count)
        check_counts(contract, counts)
        write_splits(codes, fold_name(0), file)
        return {0: (codes, counts)}
    splits = divide(contract, database, "kept")
    pq.write_table(splits, file)
    names = splits.column_names[1:]
    indices = [REFIT if name == fold_name(REFIT) else i for i, name in enumerate(names)]
    return {i: table_codes(splits, fold_name(i), count) for i in indices}


def _write_fold(
    contract: Contract,
    rows: Rows,
    counts: dict[str, int],
    index: int,
    folder: Path,
    before: Path | None,
) -> Fold:
    check_counts(contract, counts, fold_name(index) if contract.evaluation.folds else "")
    own = folder / fold_name(index)
    own.mkdir()
    train = _train(contract, rows, counts["train"])
    preprocessing = fit(contract, train)
    _learnable(contract, preprocessing)
    (own / "preprocessing.json").write_text(preprocessing.to_json(), "utf-8")
    job = Pass(contract, rows, preprocessing, own, before)
    for _ in spread(write_stretch, job, len(rows.stretches)):
        pass
    write_empty(own, shard_schema(preprocessing))
    return Fold(
        index=index,
        rows={name: counts[name] for name in (*SPLITS, "gap") if name in counts},
        inputs=len(preprocessing.inputs),
        constant=preprocessing.constant,
        infinite=infinite_columns(contract, train),
    )


def _train(contract: Contract, rows: Rows, count: int) -> Train:
    """Return what there is to know of the train rows."""
    if count * len(fit_columns(contract)) <= EXACT_CELLS:
        return TrainRows(train_rows(contract, rows))
    return merged(spread(sum_stretch, Pass(contract, rows), len(rows.stretches)))


def _learnable(contract: Contract, preprocessing: Preprocessing) -> None:
    """Raise DataError where the train rows do not vary in a target, or hold none of it; of a
    vector, one level that varies is enough."""
    constant = {s.column for s in preprocessing.scalers if s.constant}
    groups = (expand(name) for name in contract.targets)
    still = [column for group in groups if constant.issuperset(group) for column in group]
    if still:
        raise DataError(
            f"{', '.join(still)}: does not vary in the train rows, or is missing in all of them, "
            "so nothing can be learned of it. Choose another split, or take it off the targets"
        )


def _reads(contract: Contract) -> Any:
    """What the inputs are made of; descriptions, bounds and losses change nothing here."""
    # Lists, since the order of inputs and of targets counts.
    features = [
        [c, f.model_dump(mode="json", exclude={"description", "unit", "bounds"})]
        for c, f in contract.feature_columns.items()
    ]
    targets = [
        [c, t.transform, t.unit, t.output, t.bounds if t.output == "sigmoid" else None]
        for c, t in contract.target_columns.items()
    ]
    groups = contract.groups()
    wholes = [[g.whole, groups[name]] for name, g in contract.target_groups.items() if g.whole]
    split = contract.split.model_dump(mode="json")
    folds = contract.evaluation.model_dump(mode="json", include={"folds", "repeats", "publish"})
    return [
        features,
        targets,
        wholes,
        contract.present_columns,
        split,
        folds,
        contract.time,
        contract.key,
        contract.row_weight,
    ]


def _sizes(shards: Shards) -> list[dict[str, Any]]:
    """Return the table of sizes: a row a split, or under cross-validation a row a division."""
    if len(shards.divisions) == 1:
        return [{"split": s, "rows": n} for s, n in shards.folds[0].rows.items()]
    return [{"division": fold.name} | fold.rows for fold in shards.divisions]


STAGE = Stage("preprocess", "shards", Shards, __name__, _reads)


@stage_task
def preprocess(contract: Contract, checked: Checked) -> Shards:
    """Turn checked rows into shards, and show the sizes of the splits."""
    storage = root_storage()

    def work(folder: Path) -> Shards:
        rows = storage.fetch(checked.snapshot.place) / "rows.parquet"
        quarantine = storage.fetch(checked.place) / "quarantine.parquet"
        return write_shards(contract, checked, rows, quarantine, folder)

    shards = STAGE.run(contract, checked.hash, work=work)
    table(contract.dataset, "splits", _sizes(shards), "Rows by split")
    return shards
