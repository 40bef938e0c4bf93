"""Missing values of rows to predict take the last one before, within group and time."""

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import registry
from tasks.learning.bundle import Bundle
from tasks.monitor.recent import recent_rows
from tasks.predict import Request, predict_rows
from tasks.predict import work as working
from tests.builders import replaced, small_contract, small_rows
from tests.predicting import register
from tests.untrained import untrained_bundle

COUNT = 4000
CONTRACT = small_contract(
    key=["site", "time"],
    features={"x": {"impute": "forward_fill"}, "z": {}},
    targets={"a": {"unit": "K"}},
)
SITES = np.array(["here", "there"])[np.arange(COUNT) % 2]


def rows() -> pa.Table:
    """Return rows of two sites in no order of time, of which many lack x."""
    draw = np.random.default_rng(5)
    found = replaced(small_rows(COUNT, seed=4, missing=0.0), "site", SITES)
    x = np.where(draw.random(COUNT) < 0.6, np.nan, draw.normal(5, 2, COUNT))
    return replaced(found, "x", x).take(draw.permutation(COUNT))


def filled(found: pa.Table, fill: float) -> pa.Table:
    """Return rows whose missing x are what a reader would write there by hand."""
    order = np.argsort(found["time"].to_numpy(), kind="stable")
    x, site = found["x"].to_numpy().copy(), found["site"].to_pylist()
    last: dict[str, float] = {}
    for row in order:
        if np.isnan(x[row]):
            x[row] = last.get(site[row], fill)
        last[site[row]] = x[row]
    return replaced(found, "x", x)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(folder))
        # No train row lacks a value, so that nothing marks where one was missing.
        train = replaced(small_rows(missing=0.0), "site", ["here", "there"] * 100)
        bundle = untrained_bundle(CONTRACT, train)
        register(CONTRACT, bundle, folder)
        registry.client().set_registered_model_alias("small", "champion", "1")
    return folder, bundle


def test_the_last_value_before_stands_in_across_files_and_blocks(
    state: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, bundle = state
    monkeypatch.setenv("POLYCAST_HOME", str(home))
    monkeypatch.setattr(working, "BLOCK_CELLS", 1)
    given, folder = rows().drop_columns(["_row", "a", "b"]), tmp_path / "rows"
    folder.mkdir()
    for i, start in enumerate((0, 1500)):
        part = given.slice(start, 1500 if i == 0 else None)
        pq.write_table(part, folder / f"{i}.parquet", row_group_size=700)
    out = tmp_path / "answers.parquet"
    predict_rows(CONTRACT, Request(str(folder), str(out), invalid="mark"))
    encoder = bundle.members[0].preprocessing.encoders[0]
    expected = bundle.predict(filled(given, encoder.fill)).mean  # type: ignore[union-attr]
    np.testing.assert_allclose(pq.read_table(out)["a"].to_numpy(), expected[:, 0], rtol=1e-5)
    alone = bundle.predict(given).mean
    assert np.abs(alone - expected).max() > 1e-3


def test_rows_that_a_champion_is_watched_on_are_filled_too(tmp_path: Path) -> None:
    found = rows()
    found = found.set_column(0, "_row", pa.array(np.arange(COUNT)))
    pq.write_table(found, tmp_path / "rows.parquet")
    types = {f.name: str(f.type) for f in found.schema}
    out = tmp_path / "recent.parquet"
    recent_rows(CONTRACT, types, tmp_path / "rows.parquet", None, "1000h", out)
    recent = pq.read_table(out)
    whole = filled(found, np.nan).filter(pa.array(np.isin(found["_row"], recent["_row"])))
    known = np.isfinite(whole["x"].to_numpy())
    stands = recent["_before/x"].to_numpy()
    np.testing.assert_array_equal(stands[known], whole["x"].to_numpy()[known])
    assert [f.name for f in tmp_path.iterdir() if f.suffix == ".before"] == []
