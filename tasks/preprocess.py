"""Preprocess: divide the rows, fit scalers and encoders on train rows alone, write the shards.

In: a contract and the Checked rows. Out: Shards, per fold `preprocessing.json` and one Parquet
file a split, with float32 columns `x/<input>`, `y/<target>` (scaled, null where missing) and
`weight`; and the same for the refit that cross-validation may publish. Raises DataError where a
split has too few rows, and Unsuitable where a target's output or transform cannot take its train
values.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.split import SPLITS
from tasks.database import columns, connect, literal
from tasks.errors import DataError
from tasks.folding import divide
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import shard_schema, to_arrays, to_shard
from tasks.orchestration import stage_task, table
from tasks.records import REFIT, Checked, Fold, Shards, fold_name
from tasks.splitting import check_counts, split_sql
from tasks.stage import Stage
from tasks.storage import root_storage

BATCH_ROWS = 65_536


def write_shards(
    contract: Contract, checked: Checked, rows: Path, quarantine: Path, folder: Path
) -> Shards:
    """Write splits, fitted numbers and shards into `folder`.

    `rows` is the snapshot's file; the rows that `quarantine` holds are left out.
    """
    with connect([rows, quarantine]) as database:
        database.execute(
            f"CREATE VIEW kept AS SELECT * FROM read_parquet({literal(str(rows))}) "
            f"WHERE _row NOT IN (SELECT _row FROM read_parquet({literal(str(quarantine))}))"
        )
        splits = _splits(contract, database)
        pq.write_table(splits, folder / "splits.parquet")
        database.register("splits", splits)
        names = splits.column_names[1:]
        indices = [REFIT if name == fold_name(REFIT) else i for i, name in enumerate(names)]
        made = [_write_fold(contract, database, i, folder / fold_name(i)) for i in indices]
    folds = tuple(fold for fold in made if fold.index != REFIT)
    refit = next((fold for fold in made if fold.index == REFIT), None)
    targets = tuple(contract.target_columns)
    return Shards(checked=checked, folds=folds, refit=refit, targets=targets)


def _splits(contract: Contract, database: Any) -> pa.Table:
    """Return each row's split in each division, in order of `_row`."""
    if contract.evaluation.folds:
        return divide(contract, database, "kept")
    split = split_sql(contract, "kept")
    found: pa.Table = database.sql(
        f"SELECT _row, split AS {fold_name(0)} FROM ({split}) ORDER BY _row"
    ).to_arrow_table()
    return found


def _write_fold(contract: Contract, database: Any, index: int, folder: Path) -> Fold:
    counts = _counts(contract, database, index)
    check_counts(contract, counts, fold_name(index) if contract.evaluation.folds else "")
    folder.mkdir()
    train = pa.Table.from_batches(_rows(contract, database, index, "train"))
    preprocessing = fit_preprocessing(contract, train)
    _learnable(preprocessing)
    (folder / "preprocessing.json").write_text(preprocessing.to_json(), "utf-8")
    for split in SPLITS:
        schema = shard_schema(preprocessing)
        with pq.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd") as writer:
            for batch in _rows(contract, database, index, split):
                rows = pa.Table.from_batches([batch])
                writer.write_table(to_shard(to_arrays(contract, preprocessing, rows), schema))
    in_order = {name: counts[name] for name in (*SPLITS, "gap") if name in counts}
    inputs = len(preprocessing.inputs)
    return Fold(index=index, rows=in_order, inputs=inputs, constant=preprocessing.constant)


def _counts(contract: Contract, database: Any, index: int) -> dict[str, int]:
    """Return a division's rows by split; those that a fold leaves out are not counted."""
    name = fold_name(index)
    found = dict(
        database.execute(f"SELECT {name}, count(*) FROM splits GROUP BY {name}").fetchall()
    )
    if contract.evaluation.folds:
        found.pop(None, None)
    return found


def _learnable(preprocessing: Preprocessing) -> None:
    """Raise DataError where the train rows do not vary in a target, or hold none of it."""
    still = [s.column for s in preprocessing.scalers if s.constant]
    if still:
        raise DataError(
            f"{', '.join(still)}: does not vary in the train rows, or is missing in all of them, "
            "so nothing can be learned of it. Choose another split, or take it off the targets"
        )


def _rows(contract: Contract, database: Any, index: int, split: str) -> Iterator[pa.RecordBatch]:
    """Yield a split's raw rows in order, in batches; one empty batch where there are none."""
    names = columns(list(dict.fromkeys(["_row", *contract.columns()])))
    # No join: a column of the user's may be called as a division is too.
    own = f"SELECT _row FROM splits WHERE {fold_name(index)} = ?"
    query = f"SELECT {names} FROM kept WHERE _row IN ({own}) ORDER BY _row"
    reader = database.sql(query, params=[split]).to_arrow_reader(BATCH_ROWS)
    batches = iter(reader)
    first = next(batches, None)
    yield first if first is not None else pa.RecordBatch.from_pylist([], schema=reader.schema)
    yield from batches


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
