"""Baselines: what every candidate must beat is right where it answers, and silent elsewhere."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks import regressors
from tasks.baselines import persistence, train_mean
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.shards import to_arrays
from tasks.learning.tables import numbers
from tasks.regressors import ridge, trees
from tests.builders import replaced, small_contract, small_rows

LINEAR = small_contract(
    features={"x": {}, "z": {}}, targets={"a": {"unit": "K"}, "b": {"unit": "Pa"}}
)
"""A contract whose targets are linear in its features, with no transform between."""


def ridge_of(train: pa.Table, test: pa.Table, contract: Contract = LINEAR) -> np.ndarray:
    fitted = fit_preprocessing(contract, train)
    return ridge(fitted, to_arrays(contract, fitted, train))(test)


def holes(rows: pa.Table, column: str, where: np.ndarray) -> pa.Table:
    """Return rows whose column is missing where told."""
    return replaced(rows, column, np.where(where, np.nan, numbers(rows, column)))


def test_persistence_answers_only_for_targets_that_name_their_present_value() -> None:
    contract = small_contract(targets={"a": {"unit": "K", "present": "x"}, "b": {"unit": "Pa"}})
    rows = small_rows(missing=0.0)
    found = persistence(contract, rows)
    assert (found[:, 0] == numbers(rows, "x")).all()
    assert np.isnan(found[:, 1]).all()


def test_persistence_has_no_answer_where_the_present_value_is_missing() -> None:
    rows = small_rows(missing=0.3)
    found = persistence(small_contract(), rows)
    np.testing.assert_array_equal(np.isnan(found[:, 0]), np.isnan(numbers(rows, "x")))
    np.testing.assert_array_equal(np.isnan(found[:, 1]), np.isnan(numbers(rows, "z")))


def test_the_train_mean_is_the_targets_own_whatever_its_transform() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    found = train_mean(fitted, rows.slice(0, 3))
    expected = [np.nanmean(numbers(rows, t)) for t in ("a", "b")]
    np.testing.assert_allclose(found, np.tile(expected, (3, 1)))


def test_the_train_mean_does_not_look_at_the_rows_it_answers() -> None:
    train, test = small_rows(seed=1), small_rows(seed=2)
    fitted = fit_preprocessing(small_contract(), train)
    changed = replaced(test, "a", [9e9] * len(test))
    assert (train_mean(fitted, test) == train_mean(fitted, changed)).all()


def test_ridge_recovers_a_linear_truth() -> None:
    test = small_rows(seed=2, missing=0.0)
    found = ridge_of(small_rows(400, seed=1, missing=0.0), test)
    for i, target in enumerate(("a", "b")):
        np.testing.assert_allclose(found[:, i], numbers(test, target), atol=0.01)


def test_of_very_many_rows_ridge_learns_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(inputs: np.ndarray, *more: np.ndarray) -> Any:
        asked.append(len(inputs))
        return fit(inputs, *more)

    fit = regressors._fit_ridge
    monkeypatch.setattr(regressors, "_fit_ridge", counted)
    monkeypatch.setattr(regressors, "MOST_NUMBERS", 8_000)
    test = small_rows(seed=2, missing=0.0)
    found = ridge_of(small_rows(5_000, seed=1, missing=0.0), test)
    assert sum(asked) < 5_000
    np.testing.assert_allclose(found[:, 0], numbers(test, "a"), atol=0.01)


def test_ridge_recovers_a_target_that_is_learned_as_its_change() -> None:
    # b is z + 0.5 x: its change from z is linear in x.
    contract = small_contract(
        features={"x": {}, "z": {}},
        targets={"b": {"unit": "Pa", "present": "z", "transform": "change"}},
    )
    test = small_rows(seed=2, missing=0.0)
    found = ridge_of(small_rows(400, seed=1, missing=0.0), test, contract)
    np.testing.assert_allclose(found[:, 0], numbers(test, "b"), atol=0.01)


def test_ridge_learns_each_target_from_the_rows_that_know_it() -> None:
    # No row knows both: a fit on whole rows alone would have nothing to learn from.
    train = small_rows(400, seed=1, missing=0.0)
    even = np.arange(400) % 2 == 0
    train = holes(holes(train, "a", even), "b", ~even)
    test = small_rows(seed=2, missing=0.0)
    found = ridge_of(train, test)
    for i, target in enumerate(("a", "b")):
        np.testing.assert_allclose(found[:, i], numbers(test, target), atol=0.02)


def test_a_targets_missing_cells_change_nothing_of_another_target() -> None:
    train, test = small_rows(400, seed=1, missing=0.0), small_rows(seed=2, missing=0.0)
    whole = ridge_of(train, test)
    part = ridge_of(holes(train, "a", np.arange(400) < 100), test)
    np.testing.assert_allclose(part[:, 1], whole[:, 1], rtol=1e-9)


def test_ridge_has_nothing_to_say_of_a_target_that_train_never_saw() -> None:
    train, test = small_rows(400, seed=1, missing=0.0), small_rows(seed=2, missing=0.0)
    fitted = fit_preprocessing(LINEAR, train)
    arrays = to_arrays(LINEAR, fitted, train)
    arrays.targets[:, 0] = np.nan
    found = ridge(fitted, arrays)(test)
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


def test_ridge_learns_nothing_from_rows_of_no_weight() -> None:
    contract = small_contract(
        features={"x": {}, "z": {}},
        targets={"a": {"unit": "K"}},
        row_weight="weight",
    )
    train, test = small_rows(400, seed=1, missing=0.0), small_rows(seed=2, missing=0.0)
    off = np.arange(400) < 50
    train = replaced(train, "a", np.where(off, 500.0, numbers(train, "a")))
    train = replaced(train, "weight", np.where(off, 0.0, 1.0))
    found = ridge_of(train, test, contract)
    np.testing.assert_allclose(found[:, 0], numbers(test, "a"), atol=0.05)


@pytest.mark.parametrize("missing", [0.2, 0.6])
def test_ridge_answers_every_row_whatever_its_features_miss(missing: float) -> None:
    train, test = small_rows(800, seed=1, missing=0.2), small_rows(seed=2, missing=missing)
    assert np.isfinite(ridge_of(train, test, small_contract())).all()


def test_ridge_is_near_a_linear_truth_where_cells_are_missing() -> None:
    test = small_rows(seed=2, missing=0.0)
    found = ridge_of(small_rows(800, seed=1, missing=0.2), test, small_contract())
    for i, target in enumerate(("a", "b")):
        truth = numbers(test, target)
        assert np.mean((found[:, i] - truth) ** 2) < 0.1 * np.var(truth)


def trees_of(train: pa.Table, test: pa.Table) -> np.ndarray:
    fitted = fit_preprocessing(LINEAR, train)
    return trees(fitted, to_arrays(LINEAR, fitted, train))(test)


def test_trees_learn_what_no_line_can() -> None:
    train, test = (small_rows(n, seed=n, missing=0.0) for n in (600, 300))
    for rows in (train, test):
        bent = np.abs(numbers(rows, "x") - 5)
        changed = replaced(rows, "a", bent)
        train, test = (changed, test) if rows is train else (train, changed)
    truth = numbers(test, "a")
    wrong = [np.mean((f(train, test)[:, 0] - truth) ** 2) for f in (trees_of, ridge_of)]
    assert wrong[0] < 0.3 * wrong[1]


def test_trees_answer_alike_each_time_and_however_rows_are_cut() -> None:
    train, test = small_rows(400, seed=1), small_rows(101, seed=2)
    fitted = fit_preprocessing(LINEAR, train)
    arrays = to_arrays(LINEAR, fitted, train)
    first, again = trees(fitted, arrays), trees(fitted, arrays)
    parts = [again(test.slice(0, 7)), again(test.slice(7))]
    np.testing.assert_array_equal(first(test), np.concatenate(parts))


def test_trees_learn_targets_from_the_rows_that_know_them() -> None:
    # No row knows both: shared trees would have nothing to learn from.
    train = small_rows(400, seed=1, missing=0.0)
    even = np.arange(400) % 2 == 0
    train = holes(holes(train, "a", even), "b", ~even)
    test = small_rows(seed=2, missing=0.0)
    found = trees_of(train, test)
    for i, target in enumerate(("a", "b")):
        truth = numbers(test, target)
        assert np.mean((found[:, i] - truth) ** 2) < 0.3 * np.var(truth)
