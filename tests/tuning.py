"""Shards for studies that tests make, in the storage of the test."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.preprocess import write_shards
from tasks.records import Checked, Shards, Snapshot
from tasks.storage import root_storage
from tasks.tuning.batch import Done, train_batch
from tasks.tuning.engines import Submit
from tasks.tuning.trial import Job
from tests.builders import small_contract, small_rows

SPACE = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "hidden": [[4], [8], [16]],
}
RECIPE = {
    "base": "shared_128_64", "hidden": [8], "epochs": 3, "batch_size": 40, "learning_rate": 0.01,
}  # fmt: skip


def tuned_contract(recipe: dict[str, Any] | None = None, **tuning: Any) -> Contract:
    """Return a small contract that is tuned over SPACE, or as it is said."""
    return small_contract(recipe=RECIPE | (recipe or {}), tuning={"space": SPACE} | tuning)


def kept_shards(contract: Contract, unreadable: tuple[str, ...] = ()) -> Shards:
    """Return shards that are kept, with something unreadable in place of some splits."""
    storage, rows = root_storage(), small_rows()
    with storage.write("rows") as job:
        pq.write_table(rows, job.folder / "rows.parquet")
        pq.write_table(rows.slice(0, 0).select(["_row"]), job.folder / "quarantine.parquet")
    data = storage.fetch("rows")
    snapshot = Snapshot(place="rows", rows=len(rows), columns={}, source="", hash="h")
    checked = Checked(
        place="rows", snapshot=snapshot, rows=len(rows), quarantined=0, expectations=0
    )
    with storage.write("shards") as job:
        files = data / "rows.parquet", data / "quarantine.parquet"
        shards = write_shards(contract, checked, *files, job.folder)
        for split in unreadable:
            file = job.folder / "fold_0" / f"{split}.parquet"
            assert file.is_file()
            file.write_bytes(b"nothing that can be read")
    return shards.model_copy(update={"place": "shards", "hash": "the shards"})


def own_number(jobs: Sequence[object]) -> int:
    """Return the number of the process that this is called in."""
    return os.getpid()


@contextmanager
def here(jobs: int) -> Iterator[Submit]:
    """Run each call in this process, one after another."""

    def submit(jobs: Sequence[Job]) -> "Future[Done]":
        done: Future[Done] = Future()
        done.set_result(train_batch(jobs))
        return done

    yield submit
