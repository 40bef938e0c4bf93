"""Rows from disk: each once an epoch, in blocks of whole batches, and as good as in memory."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import memory
from tasks.backends import backend
from tasks.feed import fed
from tasks.learning import feeding
from tasks.learning.bundle import load_bundle
from tasks.learning.feeding import Held, Matrix, OnDisk
from tasks.learning.fitting import fit_network
from tasks.learning.shards import Arrays, empty, of_matrix, read_shard, spread
from tasks.storage import root_storage
from tests.builders import plain_layout, small_candidate, small_contract, small_rows

ROWS, INPUTS = 1030, 3


def whole(seed: int = 0, rows: int = ROWS) -> Matrix:
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(rows, INPUTS))
    targets = np.stack([inputs.sum(1), inputs[:, 0] * inputs[:, 1]], axis=1)
    # Rows that lie side by side are alike, as those of a series are.
    order = np.argsort(inputs[:, 0])
    return np.column_stack([inputs, targets, np.arange(rows) + 1])[order].astype(np.float32)


def shard(folder: Path, matrix: Matrix) -> Path:
    import pyarrow as pa

    names = [*(f"x/{i}" for i in range(INPUTS)), "y/a", "y/b", "weight"]
    pq.write_table(pa.table(list(matrix.T), names=names), folder, row_group_size=300)
    return folder


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnDisk:
    monkeypatch.setattr(feeding, "STRETCH", 32)
    file = tmp_path / "rows.f32"
    some = spread(shard(tmp_path / "train.parquet", whole()), file, 100)
    return OnDisk(file, ROWS, some, most=400)


def taken(rows: Any, *seed: int) -> list[Matrix]:
    """Return the rows of each block in the order in which steps take them."""
    blocks = rows.blocks(lambda matrix: matrix, 20, seed or None)
    return [block[order] for block, order in blocks]


def test_every_row_is_taken_once_in_blocks_of_whole_batches(on_disk: OnDisk) -> None:
    blocks = taken(on_disk, 0, 0)
    assert [len(b) for b in blocks] == [200] * 5 + [30]
    found = np.concatenate(blocks)
    wanted = whole()
    np.testing.assert_array_equal(
        found[np.argsort(found[:, -1])], wanted[np.argsort(wanted[:, -1])]
    )


def test_every_epoch_has_its_own_order_which_is_found_again(on_disk: OnDisk) -> None:
    first, again, other = (np.concatenate(taken(on_disk, 0, e)) for e in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.concatenate(taken(on_disk)), whole())


def test_a_block_holds_rows_from_all_over_the_file(on_disk: OnDisk) -> None:
    spreads = [np.std(b[:, 0]) for b in taken(on_disk, 0, 0)[:-1]]
    alike = [np.std(b[:, 0]) for b in np.array_split(whole(), 5)]
    assert np.mean(spreads) > 2 * np.mean(alike)


def test_some_rows_are_an_even_choice(on_disk: OnDisk) -> None:
    np.testing.assert_array_equal(on_disk.some.matrix, whole()[::11])


def test_a_file_that_ends_too_early_is_told(on_disk: OnDisk) -> None:
    with on_disk.file.open("r+b") as file:
        file.truncate(4 * 6 * 1000)
    broken = OnDisk(on_disk.file, ROWS, on_disk.some, most=400)
    with pytest.raises(EOFError, match=r"rows.f32 ends \d+ bytes too early"):
        taken(broken, 0, 0)


def test_rows_from_disk_train_as_well_as_rows_in_memory(on_disk: OnDisk) -> None:
    recipe = {"architecture": "shared", "hidden": [16], "epochs": 15, "batch_size": 20}
    contract = small_contract(recipe=recipe | {"learning_rate": 0.01})
    validation = of_matrix(np.ascontiguousarray(whole(1)), INPUTS)
    validation = Arrays(validation.inputs, validation.targets, np.ones(ROWS, np.float32))
    layout = plain_layout(of_matrix(whole(), INPUTS))
    even = Held(of_matrix(whole(), INPUTS))
    reached = [
        fit_network(contract, layout, rows, validation, None, backend())[1].best_loss
        for rows in (on_disk, even)
    ]
    assert reached[0] < 1.3 * reached[1]
    assert reached[0] < 0.1


def test_shards_that_do_not_fit_come_from_disk_and_those_that_do_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "polycast")
    for split in ("train", "validation"):
        shard(tmp_path / f"{split}.parquet", whole())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = []
    for free in (1 << 30, 1 << 10):
        monkeypatch.setattr(memory, "free", lambda free=free: free)
        with fed(tmp_path, scratch) as both:
            found.append([type(rows) for rows in both])
            for rows in both:
                np.testing.assert_array_equal(np.concatenate(taken(rows)), whole())
    assert found == [[Held, Held], [OnDisk, OnDisk]]
    assert not list(scratch.iterdir())
    assert "rows come from the disk" in caplog.text


def test_a_shard_is_read_without_another_copy(tmp_path: Path) -> None:
    arrays = read_shard(shard(tmp_path / "train.parquet", whole()))
    assert arrays.matrix.ctypes.data == arrays.inputs.ctypes.data
    np.testing.assert_array_equal(arrays.matrix, whole())
    apart = Arrays(arrays.inputs.copy(), arrays.targets.copy(), arrays.weight.copy())
    np.testing.assert_array_equal(apart.matrix, arrays.matrix)
    other = Arrays(arrays.inputs, arrays.targets, apart.weight)
    np.testing.assert_array_equal(other.matrix, arrays.matrix)


def test_rows_on_the_device_outlive_the_array_that_they_were_made_of() -> None:
    matrices = [whole(), empty(ROWS, INPUTS + 3), whole()[1:]]
    matrices[1][:] = whole()
    placed = [backend().resident(matrix) for matrix in matrices]
    wanted = [matrix.copy() for matrix in matrices]
    del matrices
    spoiled = [np.zeros((ROWS, INPUTS + 3), np.float32) for _ in range(50)]
    for found, right in zip(placed, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(found), right)
    assert not np.any(spoiled)


def test_free_memory_is_the_least_of_the_machines_and_the_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, cap, used, parts = (tmp_path / n for n in ("meminfo", "cap", "used", "stat"))
    machine.write_text("MemTotal: 9 kB\nMemAvailable:    8 kB\n", "utf-8")
    used.write_text("3000\n", "utf-8")
    parts.write_text("anon 7\ninactive_file 2000\n", "utf-8")  # What files left, to be had back.
    monkeypatch.setattr(memory, "MACHINE", machine)
    monkeypatch.setattr(memory, "GROUPS", ((cap, used, parts),))
    assert memory.free() == 8192
    for text, wanted in (("max", 8192), ("5000", 4000), ("500", 0)):
        cap.write_text(text, "utf-8")
        assert memory.free() == wanted
    machine.unlink()
    cap.unlink()
    assert memory.free() is None


def test_a_candidate_is_trained_from_disk_where_no_memory_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "free", lambda: 0)
    rows = small_rows(400)
    candidate = small_candidate(small_contract(), rows)
    folder = root_storage().fetch("candidate")
    assert not list(folder.rglob("*.f32"))
    assert not list(folder.glob("rows-*"))
    assert candidate.epochs == 3
    assert np.isfinite(load_bundle(folder / "bundle").predict(rows).mean).all()
