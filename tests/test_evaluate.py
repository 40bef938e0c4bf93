"""Evaluation in blocks: each model on the rows it answers, and compared on those that both do."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.evaluate import fold_rows
from tasks.evaluate.blocks import Answering, Fresh
from tasks.evaluate.fold_rows import FoldRows, block_rows
from tasks.evaluate.fold_sums import FoldSums
from tasks.evaluate.models import Model, baseline_models, baseline_names, point_model
from tasks.evaluate.parts import on_targets
from tasks.evaluate.predictions_file import PredictionsFile
from tasks.evaluate.tables import metric_rows
from tasks.learning.predictions import Predictions
from tasks.learning.tables import numbers
from tasks.records import Score, Scores
from tests.builders import CANDIDATE, replaced, small_contract, small_rows, small_shards

NO_CHAMPION = {"rules": [{"rule": "baseline", "baseline": "mean"}]}


def answers(values: Any) -> Model:
    """A model that answers with (targets,) everywhere, or with the row of (rows, targets)."""
    values = np.asarray(values, np.float64)
    if values.ndim == 1:
        return point_model("ab", lambda rows: np.tile(values, (len(rows), 1)))
    return point_model("ab", lambda rows: values[rows.column("_row").to_numpy()])


def added(
    contract: Contract,
    models: Mapping[str, Model],
    blocks: Iterable[pa.Table],
    fresh: Fresh | None = None,
    file: Path | None = None,
) -> tuple[FoldSums, Answering]:
    asked = Answering(contract, models, 0, fresh)
    sums = FoldSums(contract, 0, list(models), np.ones(2))
    with PredictionsFile(contract, list(models), file or Path("unused")) as writer:
        for rows in blocks:
            block = asked(rows)
            sums.add(block)
            if file:
                writer.add(block)
    asked.check()
    return sums, asked


def scored(contract: Contract, models: Mapping[str, Model], *blocks: pa.Table) -> list[Score]:
    return added(contract, models, blocks)[0].scores()


def of(scores: Iterable[Score], model: str, target: str = "a") -> Score:
    (found,) = (s for s in scores if (s.model, s.target) == (model, target))
    return found


def half() -> np.ndarray:
    """Zeros for 200 rows, but no answer to the first 50."""
    values = np.zeros((200, 2))
    values[:50] = np.nan
    return values


def test_every_model_is_scored_on_the_rows_that_it_answers() -> None:
    rows = small_rows(missing=0.0)
    models = {"candidate": answers([0, 0]), "persistence": answers(half())}
    scores = scored(small_contract(), models, rows)
    assert [of(scores, m).rows for m in models] == [200, 150]


def test_models_are_compared_on_the_rows_that_both_answer() -> None:
    rows = small_rows(missing=0.0)
    truth = numbers(rows, "a")
    own = np.stack([truth, truth], axis=1)
    own[:50] += 9.0  # the candidate errs where the baseline is silent
    own[50:] += 1.0
    other = half()
    other[50:, 0] = truth[50:] + 2.0
    scores = scored(
        small_contract(), {"candidate": answers(own), "persistence": answers(other)}, rows
    )
    assert of(scores, "candidate").skill["persistence"] == pytest.approx(0.5)
    assert of(scores, "persistence").candidate == {"mae": 1.0, "rmse": 1.0}
    assert of(scores, "candidate").candidate == {}
    assert of(scores, "candidate").rmse > 4


def test_the_error_is_told_relative_to_the_train_means_on_the_same_rows() -> None:
    rows = small_rows(missing=0.0)
    truth = numbers(rows, "a")
    mean = np.stack([truth + 4, truth], axis=1)
    mean[:50, 0] = truth[:50] + 100
    one = half()
    one[50:, 0] = truth[50:] + 1
    models = {"candidate": answers([0, 0]), "ridge": answers(one), "mean": answers(mean)}
    assert of(scored(small_contract(), models, rows), "ridge").rrmse == pytest.approx(0.25)


def test_blocks_of_any_size_and_order_score_as_the_whole_does() -> None:
    rows = small_rows()
    draw = np.random.default_rng(3)
    models = {m: answers(draw.normal(size=(200, 2))) for m in ("candidate", "champion", "mean")}
    whole = scored(small_contract(), models, rows)
    mixed = rows.take(draw.permutation(200))
    parts = scored(
        small_contract(), models, mixed.slice(0, 13), mixed.slice(13, 1), mixed.slice(14)
    )
    assert len(whole) == 6
    for one, other in zip(whole, parts, strict=True):
        assert (one.model, one.target, one.rows) == (other.model, other.target, other.rows)
        for name in ("mae", "rmse", "r2", "rrmse", "bias", "max_error", "correlation", "skill"):
            wanted, came = getattr(one, name), getattr(other, name)
            assert came == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_a_model_without_an_answer_for_a_target_has_no_score_there(tmp_path: Path) -> None:
    models = {"candidate": answers([0, 0]), "champion": answers([0, np.nan])}
    file = tmp_path / "predictions.parquet"
    sums, _ = added(small_contract(), models, [small_rows()], file=file)
    scores = sums.scores()
    assert [s.target for s in scores if s.model == "champion"] == ["a"]
    assert [s.target for s in scores if s.model == "candidate"] == ["a", "b"]
    assert pq.read_table(file)["champion/b"].null_count == 200


def test_the_champion_is_compared_on_rows_that_it_has_not_seen() -> None:
    rows = small_rows(missing=0.0)
    models = {"candidate": answers([1, 1]), "champion": answers([0, 0])}

    def fresh(block: pa.Table) -> np.ndarray:
        return block.column("_row").to_numpy() >= 160

    blocks = [rows.slice(0, 150), rows.slice(150)]
    sums, asked = added(small_contract(), models, blocks, fresh)
    scores = sums.scores()
    assert [of(scores, m).rows for m in models] == [200, 40]
    truth = numbers(rows, "a")[160:]
    assert of(scores, "champion").candidate["mae"] == pytest.approx(np.abs(truth - 1).mean())
    assert (asked.rows, asked.fresh_rows) == (200, 40)


def test_an_infinite_answer_of_another_model_is_none() -> None:
    values = np.zeros((200, 2))
    values[3] = np.inf
    models = {"candidate": answers([0, 0]), "champion": answers(values)}
    assert of(scored(small_contract(), models, small_rows(missing=0.0)), "champion").rows == 199


def test_skill_is_told_against_baselines_alone() -> None:
    models = {"candidate": answers([11, 0]), "champion": answers([0, 0]), "mean": answers([0, 0])}
    scores = scored(small_contract(), models, small_rows())
    assert all(set(s.skill) == {"mean"} for s in scores)
    first, mean = of(scores, "candidate"), of(scores, "mean")
    assert first.skill["mean"] == pytest.approx(1 - first.rmse / mean.rmse)


def test_a_target_that_no_test_row_knows_is_told() -> None:
    with pytest.raises(DataError, match="a is observed in no test row: no verdict"):
        scored(small_contract(), {"candidate": answers([0, 0])}, small_rows(missing=1.0))


@pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf])
def test_a_candidate_is_not_scored_on_the_rows_it_can_answer_alone(answer: float) -> None:
    values = np.zeros((200, 2))
    values[[77, 150], 1] = answer
    rows = small_rows()
    blocks = rows.slice(0, 70), rows.slice(70, 70), rows.slice(140)
    with pytest.raises(DataError, match="no finite answer to 2 of 200 test rows, first to _row 77"):
        scored(small_contract(), {"candidate": answers(values)}, *blocks)


def test_a_target_that_only_rows_of_no_weight_know_is_told() -> None:
    rows = small_rows()
    weight = np.isnan(numbers(rows, "a")).astype(float)
    rows = rows.append_column("weight", [weight])
    contract = small_contract(row_weight="weight")
    with pytest.raises(DataError, match="a is observed in no test row that counts"):
        scored(contract, {"candidate": answers([0, 0])}, rows)


def test_row_weights_count_in_the_scores() -> None:
    contract = small_contract(row_weight="weight")
    rows = small_rows(missing=0.0)
    weight = np.where(np.arange(200) < 100, 1.0, 0.0)
    rows = rows.append_column("weight", [weight])
    whole = scored(contract, {"candidate": answers([0, 0])}, rows)
    part = scored(contract, {"candidate": answers([0, 0])}, rows.slice(0, 100))
    assert [s.rmse for s in whole] == pytest.approx([s.rmse for s in part])
    assert [s.rows for s in whole] == [100, 100]


def test_intervals_and_samples_are_scored_and_the_widest_asked_for_are_written(
    tmp_path: Path,
) -> None:
    rows = small_rows(missing=0.0)
    truth = np.stack([numbers(rows, t) for t in "ab"], axis=1)
    noise = np.random.default_rng(0).normal(size=(200, 16, 2))

    def model(part: pa.Table) -> Predictions:
        own = truth[part.column("_row").to_numpy()]
        ends = {0.5: (own + 1, own + 2), 0.9: (own - 1, own + 3)}
        drawn = own[:, None] + noise[part.column("_row").to_numpy()]
        return Predictions(("a", "b"), own, samples=drawn, intervals=ends, regions=ends)

    file = tmp_path / "predictions.parquet"
    sums, _ = added(
        small_contract(), {"candidate": model}, [rows.slice(0, 9), rows.slice(9)], file=file
    )
    found = of(sums.scores(), "candidate").distribution
    assert found is not None
    assert (found.levels, found.coverage) == ((0.5, 0.9), (0.0, 1.0))
    assert found.width == pytest.approx((1, 4))
    assert 0 < found.crps < 1
    (joint,) = sums.joint()
    assert (joint.rows, joint.coverage) == (200, (0.0, 1.0))
    written = pq.read_table(file)
    np.testing.assert_allclose(written["high/b"].to_numpy() - written["low/b"].to_numpy(), 4)


def test_a_points_continuous_ranked_probability_score_is_its_absolute_error() -> None:
    models = {"candidate": answers([0, 0]), "ridge": answers([1, 1])}
    for score in scored(small_contract(), models, small_rows()):
        assert score.distribution is not None
        assert score.distribution.crps == pytest.approx(score.mae)


def test_predictions_are_of_the_targets_asked_for_and_unknown_for_the_others() -> None:
    mean = np.array([[1.0, 2.0]])
    found = on_targets(Predictions(("a", "b"), mean, samples=mean[:, None]), ["b", "c"])
    np.testing.assert_array_equal(found.mean, [[2.0, np.nan]])
    assert found.samples is not None
    np.testing.assert_array_equal(found.samples, [[[2.0, np.nan]]])


def test_test_rows_are_the_test_splits_raw_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = replaced(small_rows(400), "fold_0", np.arange(400.0))
    contract = small_contract(features={"x": {}, "fold_0": {}})
    small_shards(contract, rows, tmp_path)
    splits = tmp_path / "out" / "splits.parquet"
    test = FoldRows(contract, tmp_path / "rows.parquet", splits, 0)
    chosen = np.flatnonzero(pq.read_table(splits)["fold_0"].to_numpy() == "test").tolist()
    blocks = list(test.blocks(7))
    assert {len(block) for block in blocks[:-1]} == {7}
    monkeypatch.setattr(fold_rows, "READ", 21 * len(test.names))
    assert [len(block) for block in test.blocks(7)] == [len(block) for block in blocks]
    found = pa.concat_tables(test.blocks(7))
    assert found == pa.concat_tables(blocks)
    assert found["_row"].to_pylist() == chosen
    assert found["fold_0"].to_pylist() == chosen
    few = test.sample(5)["_row"].to_pylist()
    assert len(set(few) & set(chosen)) == 5
    assert test.sample(5)["_row"].to_pylist() == few
    assert test.sample(10**6)["_row"].to_pylist() == chosen


def test_a_block_holds_fewer_rows_where_each_has_many_numbers() -> None:
    assert block_rows(6, draws=0) == 65_536
    assert block_rows(6, draws=64) < 11_000
    assert block_rows(368, draws=64) == 1_024


def test_deviations_leave_out_what_is_missing(tmp_path: Path) -> None:
    rows = replaced(small_rows(400), "b", [2.0] * 400)
    contract = small_contract(
        targets={"a": {"unit": "K"}, "b": {"unit": "K"}, "x": {"unit": "K"}}, features={"z": {}}
    )
    pq.write_table(rows, tmp_path / "rows.parquet")
    every = pa.table({"_row": rows["_row"], "fold_0": ["test"] * 400})
    pq.write_table(every, tmp_path / "splits.parquet")
    test = FoldRows(contract, tmp_path / "rows.parquet", tmp_path / "splits.parquet", 0)
    expected = [np.nanstd(numbers(rows, t)) for t in ("a", "b", "x")]
    np.testing.assert_allclose(test.spreads(), expected)


def test_the_baselines_are_those_that_the_contract_names(tmp_path: Path) -> None:
    contract = small_contract(evaluation={"baselines": ["ridge", "mean"]}, gate=NO_CHAMPION)
    rows = small_rows(400, missing=0.0)
    small_shards(contract, rows, tmp_path)
    out = tmp_path / "out"
    models = baseline_models(
        contract, out / "fold_0", tmp_path / "rows.parquet", out / "splits.parquet"
    )
    assert list(models) == ["ridge", "mean"]
    scores = scored(contract, {"candidate": answers([0, 0])} | models, rows)
    assert of(scores, "ridge").rmse < of(scores, "mean").rmse / 10


def test_a_baseline_that_can_say_nothing_is_left_out() -> None:
    targets = {"a": {"unit": "K"}, "b": {"unit": "Pa"}}
    assert baseline_names(small_contract(time=None, targets=targets)) == ["mean", "ridge", "trees"]
    assert len(baseline_names(small_contract())) == 5


def test_the_metric_table_has_a_row_a_target_and_model_with_its_unit() -> None:
    contract, rows = small_contract(), small_rows(missing=0.0)
    rows = replaced(rows, "b", [1.0] * 200)
    models = {"candidate": answers([0, 0]), "mean": answers([1, 2])}
    scores = scored(contract, models, rows)
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
