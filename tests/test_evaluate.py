"""Evaluation: the same rows for all, and nothing where there is no answer."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError
from tasks.evaluate import Model, baseline_models, metric_rows, read_test_rows, score_fold
from tasks.learning.tables import numbers
from tasks.records import Scores
from tests.builders import CANDIDATE, replaced, small_contract, small_rows, small_shards


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


@pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf])
def test_a_candidate_is_not_scored_on_the_rows_it_can_answer_alone(answer: float) -> None:
    def silent_on_the_hardest(table: object) -> np.ndarray:
        answers = np.zeros((200, 2))
        answers[7, 1] = answer
        return answers

    with pytest.raises(DataError, match="no finite answer to 1 of 200 test rows, first to _row 7"):
        score_fold(small_contract(), {"candidate": silent_on_the_hardest}, small_rows(), 0)


def test_no_row_that_all_can_answer_is_told() -> None:
    rows = small_rows(missing=0.5)
    known = ~np.isnan(numbers(rows, "a"))

    def answers_the_rest(table: object) -> np.ndarray:
        return np.stack([np.where(known, np.nan, 0.0), np.zeros(200)], axis=1)

    models: dict[str, Model] = {"candidate": constant(0, 0), "persistence": answers_the_rest}
    with pytest.raises(DataError, match="both a and an answer of each of candidate, persistence"):
        score_fold(small_contract(), models, rows, 0)


def test_a_target_that_only_rows_of_no_weight_know_is_told() -> None:
    rows = small_rows()
    weight = np.isnan(numbers(rows, "a")).astype(float)
    rows = rows.append_column("weight", [weight])
    contract = small_contract(row_weight="weight")
    with pytest.raises(DataError, match="no test row that counts has both a and"):
        score_fold(contract, {"candidate": constant(0, 0)}, rows, 0)


def test_test_rows_are_the_test_splits_raw_rows_in_order(tmp_path: Path) -> None:
    rows = replaced(small_rows(400), "fold_0", np.arange(400.0))
    contract = small_contract(features={"x": {}, "fold_0": {}})
    small_shards(contract, rows, tmp_path)
    splits = tmp_path / "out" / "splits.parquet"
    found = read_test_rows(contract, tmp_path / "rows.parquet", splits, 0)
    chosen = pq.read_table(splits)["fold_0"].to_numpy() == "test"
    assert found["_row"].to_pylist() == np.flatnonzero(chosen).tolist()
    assert found["fold_0"].to_pylist() == found["_row"].to_pylist()


def test_the_baselines_are_those_that_the_contract_names(tmp_path: Path) -> None:
    contract = small_contract(evaluation={"baselines": ["ridge", "mean"]})
    rows = small_rows(400, missing=0.0)
    small_shards(contract, rows, tmp_path)
    models = baseline_models(contract, tmp_path / "out", 0)
    assert list(models) == ["ridge", "mean"]
    scores, _ = score_fold(contract, {"candidate": constant(0, 0)} | models, rows, 0)
    rmse = {(s.model, s.target): s.rmse for s in scores}
    assert rmse["ridge", "a"] < rmse["mean", "a"] / 10


def test_the_metric_table_has_a_row_a_target_and_model_with_its_unit() -> None:
    contract, rows = small_contract(), small_rows(missing=0.0)
    rows = replaced(rows, "b", [1.0] * 200)
    models = {"candidate": constant(0, 0), "mean": constant(1, 2)}
    scores, _ = score_fold(contract, models, rows, 0)
    shown = metric_rows(contract, Scores(candidate=CANDIDATE, scores=tuple(scores)))
    assert [(r["target"], r["model"], r["unit"]) for r in shown] == [
        ("a", "candidate", "K"),
        ("a", "mean", "K"),
        ("b", "candidate", "Pa"),
        ("b", "mean", "Pa"),
    ]
    assert shown[2]["R²"] == "undefined: the truth is constant"
    assert shown[2]["RMSE"] == 1.0
    assert shown[2]["rows"] == 200


def test_row_weights_count_in_the_scores() -> None:
    contract = small_contract(row_weight="weight")
    rows = small_rows(missing=0.0)
    weight = np.where(np.arange(200) < 100, 1.0, 0.0)
    rows = rows.append_column("weight", [weight])
    whole, _ = score_fold(contract, {"candidate": constant(0, 0)}, rows, 0)
    first = rows.slice(0, 100)
    part, _ = score_fold(contract, {"candidate": constant(0, 0)}, first, 0)
    assert [s.rmse for s in whole] == pytest.approx([s.rmse for s in part])
