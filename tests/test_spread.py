"""Pieces of work: in order, on threads and on a Ray cluster of two workers alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import preprocess, spread, stretches
from tests.builders import small_rows, small_shards
from tests.test_stretches import ROWS, content, wide_contract


def square(base: int, index: int) -> int:
    return base + index * index


def failing(base: int, index: int) -> int:
    if index == 5:
        raise ValueError(f"piece {base + index}")
    return index


@pytest.mark.parametrize("pieces", [0, 1, 50])
def test_results_come_in_the_order_of_the_pieces(pieces: int) -> None:
    assert list(spread.spread(square, 7, pieces)) == [7 + i * i for i in range(pieces)]


def test_what_a_piece_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="piece 105"):
        list(spread.spread(failing, 100, 9))


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("POLYCAST_ENGINE", "ray")
    monkeypatch.setattr(spread, "processors", lambda: 2)
    yield
    assert not ray.is_initialized(), "the cluster is stopped"


@pytest.mark.usefixtures("two_workers")
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_of_two_workers_writes_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workers have block sizes of their own: only what is decided here is made small.
    monkeypatch.setattr(preprocess, "EXACT_CELLS", 0)
    monkeypatch.setattr(stretches, "STRETCH_ROWS", 256)
    monkeypatch.setattr("tests.builders.GROUP_ROWS", 128)
    found = []
    for engine in ("local", "ray"):
        monkeypatch.setenv("POLYCAST_ENGINE", engine)
        folder = tmp_path / engine
        folder.mkdir()
        small_shards(wide_contract(), small_rows(ROWS), folder)
        found.append(content(folder))
    assert found[0] == found[1]
    assert sum("train.parquet/" in name for name in found[0]) == 12
