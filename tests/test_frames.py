"""What the published model answers with when it is asked for more than points."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import publish
from tasks.learning.bundle import Bundle, save_bundle
from tasks.learning.checksums import NAME, write_checksums
from tasks.learning.frames import answer, separator
from tasks.publish.signature import signature
from tests.builders import small_contract, small_rows
from tests.untrained import untrained_bundle
from tests.walk import surroundings

ROWS = small_rows(30, seed=2)


def untrained(name: str, rows: Any = None, **options: Any) -> Bundle:
    """A bundle of a network of four hidden units as it is before training."""
    recipe = {"architecture": name, "hidden": [4]} | options
    return untrained_bundle(small_contract(recipe=recipe), rows)


@pytest.fixture(scope="module")
def quantile() -> Iterator[Bundle]:
    return untrained("quantile", levels=[0.1, 0.5, 0.9])


def test_points_alone_are_answered_when_nothing_is_asked(quantile: Bundle) -> None:
    found = answer(quantile, ROWS, {"interval": 0.0, "quantiles": False, "samples": 0})
    assert list(found.columns) == ["a", "b"]
    np.testing.assert_array_equal(found.to_numpy(), quantile.predict(ROWS).mean)


def test_all_that_is_asked_for_has_its_columns_and_each_row_its_own(quantile: Bundle) -> None:
    asked = {"interval": 0.9, "region": 0.5, "quantiles": True, "samples": 2}
    found = answer(quantile, ROWS.to_pandas(), asked)
    kinds = ["low", "high", "region_low", "region_high", "q0.1", "q0.5", "q0.9"]
    kinds += ["sample_0", "sample_1"]
    assert list(found.columns) == ["a", "b", *(f"{t}_{k}" for k in kinds for t in "ab")]
    assert len(found) == len(ROWS)
    own = quantile.predict(ROWS, 2, levels=[0.9, 0.5])
    assert own.intervals is not None
    assert own.regions is not None
    assert own.samples is not None
    np.testing.assert_array_equal(found[["a_low", "b_low"]], own.intervals[0.9][0])
    np.testing.assert_array_equal(found[["a_region_high", "b_region_high"]], own.regions[0.5][1])
    np.testing.assert_array_equal(found[["a_sample_1", "b_sample_1"]], own.samples[:, 1])
    assert (found["a_low"] < found["a"]).all()


def test_no_rows_have_columns_too(quantile: Bundle) -> None:
    found = answer(quantile, ROWS.slice(0, 0), {"interval": 0.9, "samples": 1, "quantiles": True})
    named = "a b a_low b_low a_high b_high a_sample_0 b_sample_0"
    assert " ".join(found.columns) == named
    assert len(found) == 0


def test_a_target_whose_name_is_like_such_a_column_keeps_it() -> None:
    assert separator(["temp", "temp_max"]) == "_"
    assert separator(["temp", "temp_low"]) == "__"
    assert separator(["t", "t_q0.5"]) == separator(["t", "t_sample_3"]) == "__"
    assert separator(["t", "t_region"]) == "__"
    assert separator(["temp", "temp_low", "temp__high"]) == "___"


def test_what_a_model_does_not_have_is_told(quantile: Bundle) -> None:
    shared = replace(untrained("shared"), conformal=None)
    with pytest.raises(ValueError, match="no intervals: it was trained without calibration rows"):
        answer(shared, ROWS, {"interval": 0.9})
    with pytest.raises(ValueError, match="quantiles: this model's architecture learns none"):
        answer(shared, ROWS, {"quantiles": True})
    with pytest.raises(ValueError, match="samples: this model's architecture has no distribution"):
        answer(shared, ROWS, {"samples": 3})
    with pytest.raises(ValueError, match="samples: expected 0 or more, came -1"):
        answer(shared, ROWS, {"samples": -1})
    with pytest.raises(ValueError, match=r"one of the levels 0.5, .* came 0.3"):
        answer(quantile, ROWS, {"region": 0.3})


@pytest.mark.filterwarnings("ignore")  # MLflow's own, as it is imported
def test_the_published_model_answers_all_of_it_in_another_process(
    quantile: Bundle, tmp_path: Path
) -> None:
    import mlflow

    save_bundle(quantile, tmp_path / "bundle")
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(Path(publish.__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(tmp_path / "bundle"), NAME: str(write_checksums(tmp_path))},
        code_paths=[str(publish._learning_code(tmp_path))],
        signature=signature(small_contract()),
        pip_requirements=[],
    )
    program = f"""
import sys
sys.path = [p for p in sys.path if p]
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model({str(tmp_path / "model")!r})
rows = pd.read_parquet({str(tmp_path / "rows.parquet")!r})
asked = dict(interval=0.9, region=0.99, quantiles=True, samples=3)
model.predict(rows, params=asked).to_parquet({str(tmp_path / "asked.parquet")!r})
assert list(model.predict(rows).columns) == ["a", "b"]
try:
    model.predict(rows, params=dict(interval=0.85))
except ValueError as error:
    assert "expected one of the levels 0.5" in str(error), error
else:
    raise AssertionError("a level that was not fitted was answered")
assert not [m for m in sys.modules if m.startswith(("flows", "data_contracts", "prefect"))]
"""
    environment = surroundings({}) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = {"interval": 0.9, "region": 0.99, "quantiles": True, "samples": 3}
    found = pq.read_table(tmp_path / "asked.parquet").to_pandas()
    here = answer(quantile, ROWS, asked)
    assert list(found.columns) == list(here.columns)
    np.testing.assert_allclose(found, here, rtol=1e-4, atol=1e-5)
