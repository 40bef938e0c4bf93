"""Evaluation and baselines: the same rows for all, and nothing where there is no answer."""

import numpy as np
import pytest

from tasks.baselines import persistence, ridge, train_mean
from tasks.errors import DataError
from tasks.evaluate import Model, score_fold
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.shards import to_arrays
from tasks.learning.tables import numbers
from tests.builders import small_contract, small_rows


def constant(*values: float) -> Model:
    return lambda rows: np.tile(np.array(values), (len(rows), 1))


def test_every_model_is_scored_on_the_rows_where_all_have_an_answer() -> None:
    rows = small_rows(missing=0.0)

    def half(table: object) -> np.ndarray:
        answers = np.zeros((200, 2))
        answers[:50] = np.nan
        return answers

    models: dict[str, Model] = {"candidate": constant(0, 0), "persistence": half}
    scores, _ = score_fold(small_contract(), models, rows, 0)
    assert {s.rows for s in scores} == {150}


def test_a_model_without_an_answer_for_a_target_has_no_score_there() -> None:
    models = {"candidate": constant(0, 0), "champion": constant(0, np.nan)}
    scores, predictions = score_fold(small_contract(), models, small_rows(), 0)
    assert [s.target for s in scores if s.model == "champion"] == ["a"]
    assert [s.target for s in scores if s.model == "candidate"] == ["a", "b"]
    assert predictions["champion/b"].null_count == 200


def test_skill_is_told_against_baselines_alone() -> None:
    models = {"candidate": constant(11, 0), "champion": constant(0, 0), "mean": constant(0, 0)}
    scores, _ = score_fold(small_contract(), models, small_rows(), 0)
    assert all(set(s.skill) == {"mean"} for s in scores)
    first = scores[0]
    mean = next(s for s in scores if (s.model, s.target) == ("mean", first.target))
    assert first.skill["mean"] == pytest.approx(1 - first.rmse / mean.rmse)


def test_a_target_that_no_test_row_knows_is_told() -> None:
    with pytest.raises(DataError, match="a is observed in no test row"):
        score_fold(small_contract(), {"candidate": constant(0, 0)}, small_rows(missing=1.0), 0)


def test_row_weights_count_in_the_scores() -> None:
    contract = small_contract(row_weight="weight")
    rows = small_rows(missing=0.0)
    weight = np.where(np.arange(200) < 100, 1.0, 0.0)
    rows = rows.append_column("weight", [weight])
    whole, _ = score_fold(contract, {"candidate": constant(0, 0)}, rows, 0)
    first = rows.slice(0, 100)
    part, _ = score_fold(contract, {"candidate": constant(0, 0)}, first, 0)
    assert [s.rmse for s in whole] == pytest.approx([s.rmse for s in part])


def test_persistence_answers_only_for_targets_that_name_their_present_value() -> None:
    contract = small_contract(targets={"a": {"unit": "K", "present": "x"}, "b": {"unit": "Pa"}})
    rows = small_rows(missing=0.0)
    found = persistence(contract, rows)
    assert (found[:, 0] == numbers(rows, "x")).all()
    assert np.isnan(found[:, 1]).all()


def test_the_train_mean_is_the_targets_own_whatever_its_transform() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    found = train_mean(fitted, rows.slice(0, 3))
    expected = [np.nanmean(numbers(rows, t)) for t in ("a", "b")]
    np.testing.assert_allclose(found, np.tile(expected, (3, 1)))


def test_ridge_finds_a_linear_truth_where_targets_are_partly_missing() -> None:
    contract = small_contract()
    train, test = small_rows(800, seed=1, missing=0.2), small_rows(seed=2, missing=0.0)
    fitted = fit_preprocessing(contract, train)
    found = ridge(fitted, to_arrays(contract, fitted, train), test)
    for i, target in enumerate(("a", "b")):
        truth = numbers(test, target)
        assert np.mean((found[:, i] - truth) ** 2) < 0.1 * np.var(truth)
