"""The shipped sources: their contracts fit what they yield, and what is known of it holds."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from tasks.errors import DataError
from tasks.ingest import take_snapshot
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.sources.callables import Made
from tasks.sources.climsim import SCALES, climsim
from tasks.sources.located import Located
from tasks.sources.lorenz96 import EVERY, System, lorenz96
from tasks.sources.nycflights import nyc_flights
from tests.builders import small_shards

CLIMSIM = Path(__file__).parents[2] / "shared" / "data" / "climsim"


def snapshot(name: str, made: Made, folder: Path) -> tuple[Contract, pa.Table]:
    contract = load_contract(name)
    source = Located(name, lambda: made.identity, batches=made.batches)
    folder.mkdir()
    take_snapshot(contract, source, folder)
    rows = pq.read_table(folder / "rows.parquet")
    assert set(contract.columns()) <= set(rows.column_names)
    return contract, rows


def test_cancelled_flights_are_missing_targets_and_no_delay_is_known_too_early(
    tmp_path: Path,
) -> None:
    _, rows = snapshot("nyc_flights", nyc_flights(), tmp_path / "out")
    assert len(rows) == 336_776
    assert rows["dep_delay"].null_count == 8_255
    assert rows["air_time"].null_count == 9_430
    table = rows.select(["departs", "origin", "carrier", "flight", "dep_delay", "delay_1h"])
    found = table.to_pandas()
    row = found[found["delay_1h"].notna()].iloc[5_000]
    left = found["departs"] + found["dep_delay"].map(lambda m: np.timedelta64(int(m), "m"),
                                                     na_action="ignore")  # fmt: skip
    hour = row["departs"].floor("h")
    there = (found["origin"] == row["origin"]) & left.between(
        hour - np.timedelta64(2, "h"), hour - np.timedelta64(1, "h"), inclusive="left"
    )
    assert found["dep_delay"][there].mean() == pytest.approx(row["delay_1h"])


def test_the_tendencies_of_lorenz96_are_what_its_equations_say(tmp_path: Path) -> None:
    made = lorenz96(rows=450, seed=3)
    assert json.loads(made.identity)["seed"] == 3
    _, rows = snapshot("lorenz96", made, tmp_path / "out")
    assert len(rows) == 450
    again = lorenz96(rows=450, seed=3).batches().read_all()
    assert again.equals(made.batches().read_all())
    assert not again.equals(lorenz96(rows=450, seed=4).batches().read_all())


def test_lorenz96_is_solved_to_the_order_of_its_method() -> None:
    system = System(8, 8, 10.0, 1.0, 10.0, 10.0)
    draw = np.random.default_rng(0)
    state = system.after(draw.normal(size=(3, 72)) / 10, 400)
    exact = system.after(state, EVERY * 8, 0.005 / 8)
    coarse, fine = system.after(state, EVERY), system.after(state, EVERY * 2, 0.005 / 2)
    errors = [np.abs(found - exact).max() for found in (coarse, fine)]
    assert errors[0] < 1e-2
    assert errors[0] / errors[1] > 8
    x, u = state[:, :8], system.tendency(state)
    k = 3
    resolved = x[:, k - 1] * (x[:, k + 1] - x[:, k - 2]) - x[:, k] + 10.0
    assert system.change(state)[:, k] == pytest.approx(resolved + u[:, k])


def test_without_coupling_nothing_is_left_to_learn() -> None:
    rows = lorenz96(rows=50, slow=5, fast=4, coupling=0.0).batches().read_all()
    assert rows.num_columns == 3 + 2 * 5
    assert all(np.abs(rows[f"u_{k}"].to_numpy()).max() == 0 for k in range(5))


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"slow": 3}, {"fast": 0}])
def test_a_system_that_is_none_is_told(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match="lorenz96 needs"):
        lorenz96(**wrong)


def write_climsim(folder: Path, steps: int = 6, columns: int = 8) -> dict[str, Any]:
    """Write files in ClimSim's layout; return the last time step's variables."""
    import xarray as xr

    draw, last = np.random.default_rng(0), {}
    (folder / "0001-02").mkdir(parents=True)
    for step in range(steps):
        t = draw.normal(250, 20, (60, columns))
        q = draw.uniform(0, 0.02, (60, columns))
        q[:5] = 1e-6
        flat = {
            n: draw.uniform(0, 300, columns) for n in ("pbuf_SOLIN", "pbuf_LHFLX", "pbuf_SHFLX")
        }
        flat["state_ps"] = draw.normal(98_000, 500, columns)
        after = {n: draw.uniform(0, 1, columns) for n in SCALES if n.startswith("cam_out")}
        moved = {"state_t": t + draw.normal(0, 1, t.shape), "state_q0001": q.copy()}
        moved["state_q0001"][5:] += draw.normal(0, 1e-4, (55, columns))
        for kind, content in (
            ("mli", {"state_t": t, "state_q0001": q, **flat}),
            ("mlo", {**moved, **after}),
        ):
            names = {2: ("lev", "ncol"), 1: ("ncol",)}
            dataset = xr.Dataset({n: (names[v.ndim], v) for n, v in content.items()})
            dataset["ymd"], dataset["tod"] = 10201, step * 1200
            name = f"E3SM-MMF.{kind}.0001-02-01-{step * 1200:05d}.nc"
            dataset.to_netcdf(folder / "0001-02" / name, engine="netcdf4")
        last = {"t": t, "moved": moved, **flat, **after}
    return last


def test_climsims_files_become_rows_of_124_inputs_and_128_targets(tmp_path: Path) -> None:
    last = write_climsim(tmp_path / "files")
    contract, rows = snapshot("climsim", climsim(str(tmp_path / "files")), tmp_path / "out")
    assert (len(contract.feature_columns), len(contract.target_columns)) == (124, 128)
    assert len(rows) == 48
    row = rows.slice(47).to_pylist()[0]
    assert (row["ncol"], str(row["time"])) == (7, "2001-02-01 01:40:00")
    change = (last["moved"]["state_t"] - last["t"])[59, 7] / 1200
    assert row["ptend_t_59"] == pytest.approx(change * 1004.64)
    assert row["cam_out_PRECC"] == pytest.approx(last["cam_out_PRECC"][7] * 1_313_280)
    assert row["state_ps"] == last["state_ps"][7]


def test_climsims_targets_are_learned_in_the_authors_scales(tmp_path: Path) -> None:
    write_climsim(tmp_path / "files")
    contract, rows = snapshot("climsim", climsim(str(tmp_path / "files")), tmp_path / "out")
    scaled = fit_preprocessing(contract, rows).scale(rows)
    for place, column in enumerate(contract.target_columns):
        np.testing.assert_array_equal(scaled[:, place], rows[column].to_numpy().astype("float32"))


def test_levels_that_do_not_vary_train_as_all_others(tmp_path: Path) -> None:
    write_climsim(tmp_path / "files", columns=24)
    contract, rows = snapshot("climsim", climsim(str(tmp_path / "files")), tmp_path / "out")
    split = {"kind": "random", "train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2}
    content = contract.model_dump(mode="json") | {"split": split}
    (tmp_path / "shards").mkdir()
    shards = small_shards(Contract.model_validate(content), rows, tmp_path / "shards")
    constant = shards.folds[0].constant
    assert {f"state_q0001_{i}" for i in range(5)} <= set(constant)
    assert {f"ptend_q0001_{i}" for i in range(5)} <= set(constant)
    train = pq.read_table(tmp_path / "shards" / "out" / "fold_0" / "train.parquet")
    assert all(np.isfinite(column.to_numpy()).all() for column in train.columns)


@pytest.mark.skipif(not CLIMSIM.is_dir(), reason="ClimSim's own files are not here")
def test_the_scales_are_the_authors() -> None:
    import xarray as xr

    with xr.open_dataset(CLIMSIM / "output_scale.nc", engine="netcdf4") as scales:
        for name, scale in SCALES.items():
            assert np.unique(scales[name].values) == pytest.approx([scale])


def test_climsims_files_that_lack_something_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"below /.*: --set source\.options\.folder"):
        climsim(str(tmp_path))
    write_climsim(tmp_path / "files", steps=2)
    files = sorted((tmp_path / "files").rglob("*.mlo.*"))
    assert all(a.name < b.name for a, b in pairwise(files))
    import xarray as xr

    xr.Dataset({"state_t": (("ncol",), [1.0])}).to_netcdf(files[1], engine="netcdf4")
    with pytest.raises(DataError, match=r"expected the variables .* came without"):
        climsim(str(tmp_path / "files")).batches().read_all()
    files[1].write_bytes(b"CDF\x01 cut")
    with pytest.raises(DataError, match="cannot be read"):
        climsim(str(tmp_path / "files")).batches().read_all()
    files[1].unlink()
    with pytest.raises(DataError, match=r"1 of ClimSim's files have no \.mlo\. beside them"):
        climsim(str(tmp_path / "files"))
