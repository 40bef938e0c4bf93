"""`deep_gp`: unsure far from the train rows, on a gap and on real seasons."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.learning.fitting import fit
from tasks.learning.predictions import Predictions
from tasks.sources import nyc_weather
from tests.builders import small_contract


def contract_of(features: dict[str, Any], targets: dict[str, Any], **recipe: Any) -> Any:
    own = {"architecture": "deep_gp", "hidden": [64, 64], "epochs": 30, "batch_size": 100}
    own |= {"learning_rate": 5e-3, "features": 128}
    return small_contract(features=features, targets=targets, time=None, recipe=own | recipe)


def wave(low: float, high: float, count: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.uniform(low, high, count)
    noise = draw.multivariate_normal([0, 0], [[0.01, 0.006], [0.006, 0.01]], count)
    return pa.table({"x": x, "a": np.sin(3 * x) + noise[:, 0], "b": x + noise[:, 1]})


@pytest.fixture(scope="module")
def beside_a_gap() -> Any:
    sides = [wave(-2, -0.5, 600, 0), wave(0.5, 2, 600, 1)]
    validation = pa.concat_tables([wave(-2, -0.5, 150, 2), wave(0.5, 2, 150, 3)])
    contract = contract_of({"x": {}}, {"a": {"unit": "m"}, "b": {"unit": "m"}}, epochs=60)
    return fit(contract, pa.concat_tables(sides), validation)[0]


def test_it_is_unsure_in_a_gap_and_outside(beside_a_gap: Any) -> None:
    inside = beside_a_gap.predict(wave(0.8, 1.8, 200, 4)).spread
    outside = beside_a_gap.predict(wave(4, 6, 200, 5)).spread
    between = beside_a_gap.predict(wave(-0.05, 0.05, 200, 6)).spread
    assert outside.mean() > 3 * inside.mean()
    assert between.mean() > inside.mean()


def test_its_intervals_hold_what_they_say_where_it_has_learned(beside_a_gap: Any) -> None:
    test = wave(0.6, 1.9, 1000, 7)
    found: Predictions = beside_a_gap.predict(test, draws=200)
    assert found.samples is not None
    lower, upper = np.quantile(found.samples, [0.05, 0.95], axis=1)
    for i, target in enumerate("ab"):
        truth = test.column(target).to_numpy()
        inside = np.mean((truth >= lower[:, i]) & (truth <= upper[:, i]))
        assert inside == pytest.approx(0.9, abs=0.05)
    gaps = (found.samples - found.mean[:, None]).reshape(-1, 2)
    assert np.corrcoef(gaps.T)[0, 1] == pytest.approx(0.6, abs=0.15)


def test_it_is_unsure_in_winter_when_it_has_seen_summer_alone() -> None:
    hours = pd.read_csv(nyc_weather()).dropna(
        subset=["temp", "dewp", "humid", "wind_speed", "visib"]
    )
    columns = ["temp", "humid", "wind_speed", "visib", "dewp"]
    summer = hours[hours["month"].between(5, 9) & (hours["origin"] == "JFK")]
    winter = hours[hours["month"].isin([1, 2]) & (hours["origin"] == "JFK")]
    rows = [pa.Table.from_pandas(h[columns], preserve_index=False) for h in (summer, winter)]
    order = np.random.default_rng(0).permutation(len(rows[0]))[: len(rows[0]) // 400 * 400]
    parts = [rows[0].take(order[i::4]) for i in range(4)]
    contract = contract_of(
        {"temp": {}, "wind_speed": {}, "visib": {}},
        {"dewp": {"unit": "°F"}, "humid": {"unit": "%"}},
    )
    bundle, _ = fit(contract, pa.concat_tables(parts[:2]), parts[2])
    seen, unseen = (bundle.predict(r).spread for r in (parts[3], rows[1]))
    assert (unseen.mean(axis=0) > 1.5 * seen.mean(axis=0)).all()
