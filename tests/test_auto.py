"""The default recipe: folds, robust targets, ridge, trees, their blend, and the whole of it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.backends import backend
from tasks.learning.blending import blend_weights, stack_shares, steady_weights, without_idle
from tasks.learning.bundle import Bundle, load_bundle, save_bundle
from tasks.learning.corrupt import input_ends, without_corrupt
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.fitting import finished, fit, fit_member, fit_network
from tasks.learning.folds import FOLDS, divisions, fold_of_rows, in_batches
from tasks.learning.layout import lay_out
from tasks.learning.linear import fit_ridge
from tasks.learning.networks.kernel import exact
from tasks.learning.networks.parts import Forest
from tasks.learning.shards import Arrays, to_arrays
from tasks.learning.stacked_trees import grow_stacked
from tasks.learning.trees import as_arrays, grow_boosted, grow_extra_trees
from tests.builders import small_contract, small_rows

RANDOM = np.random.default_rng(0)


def some_rows(rows: int = 120, targets: int = 2) -> tuple[Any, Any, Any]:
    inputs = RANDOM.normal(size=(rows, 4)).astype(np.float32)
    kernel = RANDOM.normal(size=(4, targets))
    return inputs, inputs @ kernel + np.sin(3 * inputs[:, :1]), np.ones(rows)


def test_a_contract_without_a_recipe_and_one_that_says_auto_are_the_same() -> None:
    content = small_contract().model_dump(mode="json")
    plain = Contract.model_validate({k: v for k, v in content.items() if k != "recipe"})
    said = Contract.model_validate(content | {"recipe": "auto"})
    full = Contract.model_validate(content | {"recipe": {"architecture": "auto"}})
    assert plain == said == full
    assert Contract.model_validate(plain.model_dump(mode="json")) == plain


def test_rows_without_order_are_dealt_to_folds_at_random_and_others_by_stretches() -> None:
    ordered = fold_of_rows(53, "time", seed=0)
    assert (np.diff(ordered) >= 0).all()
    drawn = fold_of_rows(53, "random", seed=0)
    assert (np.diff(drawn) < 0).any()
    for folds in (ordered, drawn):
        assert set(folds) == set(range(FOLDS))
        assert np.ptp(np.bincount(folds)) <= 1
        assert sum(held for _, held in divisions(folds)).tolist() == [1] * 53


def test_rows_that_fill_up_batches_change_no_mean() -> None:
    inputs, targets, weight = some_rows(10)
    rows = in_batches(Arrays(inputs, targets, weight.astype(np.float32)), 8)
    assert len(rows.weight) == 16
    assert np.mean(rows.weight[:, None] * rows.targets) == pytest.approx(targets.mean(), abs=1e-6)


def test_one_corrupt_target_is_left_out_and_a_heavy_tail_is_not() -> None:
    inputs, weight = RANDOM.normal(size=(2000, 3)).astype("f"), np.ones(2000, np.float32)
    heavy = np.exp(2 * RANDOM.normal(size=(2000, 2))).astype("f")
    assert without_corrupt(Arrays(inputs, heavy, weight)).targets is heavy
    corrupt = RANDOM.normal(size=(2000, 2)).astype("f")
    corrupt[7, 1] = 84
    found = without_corrupt(Arrays(inputs, corrupt, weight)).targets
    assert np.argwhere(np.isnan(found)).tolist() == [[7, 1]]


def test_a_row_that_is_large_in_several_columns_is_not_corrupt() -> None:
    inputs, targets, weight = some_rows()
    targets[3] = inputs[3, 1] = 500
    rows = Arrays(inputs, targets.astype("f"), weight.astype("f"))
    assert without_corrupt(rows).targets is rows.targets
    assert input_ends(rows)[1, 1] == 500
    targets[3] = 0
    rows = Arrays(inputs, targets.astype("f"), weight.astype("f"))
    assert input_ends(rows)[1, 1] < 10


def test_ridge_finds_a_line_and_ignores_missing_targets() -> None:
    inputs, _, weight = some_rows()
    targets = inputs.astype(np.float64) @ np.array([[1.0, 0], [0, 2], [0, 0], [3, 0]]) + 5
    targets[::3, 1] = np.nan
    found = fit_ridge(inputs.astype(np.float64), targets, weight)
    np.testing.assert_allclose(found.kernel[:, 1], [0, 2, 0, 0], atol=1e-3)
    np.testing.assert_allclose(found.bias, [5, 5], atol=1e-3)


def test_ridge_says_of_each_row_what_it_would_without_it() -> None:
    inputs, targets, weight = some_rows(40)
    found = fit_ridge(inputs.astype(np.float64), targets, weight)
    fewer = fit_ridge(inputs[1:].astype(np.float64), targets[1:], weight[1:])
    np.testing.assert_allclose(found.left_out[0], fewer.predict(inputs[:1])[0], atol=0.05)
    assert not np.allclose(found.left_out[0], found.predict(inputs[:1])[0], atol=0.05)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("kind", ["extra", "boosted"])
def test_trees_as_arrays_answer_as_they_were_grown(kind: str, targets: int) -> None:
    inputs, goal, weight = some_rows(targets=targets)
    if kind == "extra":
        model = grow_extra_trees(inputs, goal, weight, 7, seed=0)
        known = model.predict(inputs).reshape(-1, targets)
        trees = as_arrays(model.estimators_, 1 / 7, np.zeros(targets))
    else:
        *_, grown = grow_boosted(inputs, goal, weight, 40, seed=0)
        known = grown.steps(inputs)[-1]
        trees = as_arrays(grown.trees, grown.rate, grown.base)
    forest = Forest(len(trees.roots), len(trees.feature), *trees.values.shape, trees.depth)
    forest.build((None, 4))
    forest.set(trees)
    np.testing.assert_allclose(np.asarray(forest(inputs)), known, rtol=1e-4, atol=1e-4)


def test_boosted_trees_go_on_where_they_stood() -> None:
    inputs, goal, weight = some_rows()
    grown = [list(g.trees) for g in grow_boosted(inputs, goal, weight, 60, seed=0)]
    assert [len(trees) for trees in grown] == [25, 50, 60]
    *_, last = grow_boosted(inputs, goal, weight, 60, seed=0)
    whole = last.steps(inputs)
    np.testing.assert_allclose(whole[24] + last.steps(inputs, 25), whole[25:])


def test_a_blend_follows_what_was_right_target_by_target() -> None:
    goal = RANDOM.normal(size=(4000, 2))
    noise = RANDOM.normal(size=(3, 4000, 2))
    parts = goal + noise * np.array([[0.1, 3.0], [3.0, 0.1], [9.0, 9.0]])[:, None]
    weights = without_idle(blend_weights(parts, goal, np.ones(4000)))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
    assert weights[0, 0] > 0.85
    assert weights[1, 1] > 0.85
    assert not weights[2].any()


def test_few_rows_share_the_weights_of_all_targets() -> None:
    goal = RANDOM.normal(size=(20, 2))
    parts = goal + RANDOM.normal(size=(2, 20, 2)) * np.array([[0.5, 1.0], [1.0, 0.5]])[:, None]
    few, many = (
        blend_weights(np.tile(parts, (1, n, 1)), np.tile(goal, (n, 1)), np.ones(20 * n))
        for n in (1, 100)
    )
    assert np.ptp(few, axis=1).max() < np.ptp(many, axis=1).max()


def test_in_order_of_time_a_part_that_fails_in_one_stretch_gives_way_to_a_steadier_one() -> None:
    goal, noise = RANDOM.normal(size=(500, 2)), RANDOM.normal(size=(2, 500, 2))
    stretches = np.arange(500) // 100
    wild = np.where(stretches == 3, 1.2, 0.1)[:, None]
    parts = goal + noise * np.stack([wild, np.full_like(wild, 0.7)])
    known = (parts, goal, np.ones(500))
    plain, steady = blend_weights(*known), steady_weights(*known, stretches)
    assert (plain[0] > plain[1]).all()
    assert (steady[0] < steady[1]).all()
    np.testing.assert_allclose(steady.sum(axis=0), 1, atol=1e-6)


def test_in_order_of_time_a_part_that_is_a_little_worse_keeps_a_share() -> None:
    random = np.random.default_rng(4)
    goal, noise = random.normal(size=(2, 500, 1))
    parts = goal + noise * np.array([0.5, 0.6])[:, None, None]
    known = (parts, goal, np.ones(500))
    plain, steady = blend_weights(*known), steady_weights(*known, np.arange(500) // 100)
    share = 0.25 / (0.25 + 0.36) / 3
    np.testing.assert_allclose(plain[:, 0], [1, 0], atol=1e-6)
    np.testing.assert_allclose(steady[:, 0], [1 - share, share], atol=1e-6)


def test_stretches_without_a_target_have_no_say_of_it() -> None:
    goal, noise = RANDOM.normal(size=(100, 1)), RANDOM.normal(size=(2, 100, 1))
    parts = goal + noise * np.array([0.5, 1.0])[:, None, None]
    stretches = np.arange(100) // 50
    goal[50:] = np.nan
    found = steady_weights(parts, goal, np.ones(100), stretches)
    fewer = (parts[:, :50], goal[:50], np.ones(50), stretches[:50])
    np.testing.assert_allclose(found, steady_weights(*fewer), atol=1e-6)


def test_a_stack_finds_a_target_in_what_the_blend_says_of_another() -> None:
    inputs = RANDOM.normal(size=(300, 6)).astype(np.float32)
    first = inputs.sum(axis=1)
    targets = np.stack([first, np.sin(4 * first)], axis=1).astype(np.float64)
    blend = np.stack([first + 0.02 * RANDOM.normal(size=300), np.zeros(300)], axis=1)
    folds, ones = fold_of_rows(300, "random", 0), np.ones(300)
    cuts = list(divisions(folds))
    said, _ = grow_stacked(inputs, blend, targets, ones, cuts, 0)
    assert ((said - targets)[:, 1] ** 2).mean() < 0.2 * targets[:, 1].var()
    shares = stack_shares(blend, said, targets, ones)
    assert shares is not None
    assert shares[1, 0] < 0.2 < 0.8 < shares[1, 1]
    assert stack_shares(blend, blend, targets, ones) is None


def test_a_stack_has_no_share_of_a_target_that_the_blend_knows_better() -> None:
    targets = RANDOM.normal(size=(50, 2))
    blend, stack = targets + np.array([1e-6, 1.0]), targets + 0.1
    shares = stack_shares(blend, stack, targets, np.ones(50))
    assert shares is not None
    assert shares[:, 0].tolist() == [1, 0]
    assert shares[1, 1] > 0.9


def test_trees_that_see_the_blend_are_part_of_the_network_and_their_share_is_told() -> None:
    inputs = RANDOM.normal(size=(400, 5))
    first = inputs.sum(axis=1)
    columns = {f"x{i}": column for i, column in enumerate(inputs.T)}
    targets = {"first": first, "steps": np.sign(np.sin(4 * first))}
    rows = pa.table({"id": np.arange(400), **columns, **targets})
    content = {
        "format": 1,
        "dataset": "steps",
        "source": {"kind": "parquet", "path": "rows.parquet"},
        "key": ["id"],
        "features": {name: {} for name in columns},
        "targets": {name: {"unit": "1"} for name in targets},
        "split": {"kind": "random"},
        "recipe": {"architecture": "auto", "hidden": [8], "epochs": 2},
    }
    contract = Contract.model_validate(content)
    bundle, _ = fit(contract, rows.slice(0, 240), rows.slice(240, 60), compiler=backend())
    shares = bundle.members[0].settings["shares"]
    assert shares["stacked_trees"][1] > 0.5
    for i in range(2):
        assert sum(own[i] for own in shares.values()) == pytest.approx(1, abs=1e-3)
    found = bundle.predict(rows.slice(300)).mean
    assert ((found[:, 1] - targets["steps"][300:]) ** 2).mean() < 0.6


@pytest.fixture(scope="module")
def fitted() -> tuple[Bundle, Any]:
    options = {"architecture": "auto", "hidden": [16], "epochs": 12}
    rows = small_rows(240)
    contract = small_contract(recipe=options)
    bundle, _ = fit(contract, rows.slice(0, 160), rows.slice(160, 40), compiler=backend())
    return bundle, rows.slice(200)


def test_what_is_fitted_is_a_blend_that_a_bundle_keeps_without_pickle(
    fitted: tuple[Bundle, Any], tmp_path: Path
) -> None:
    bundle, rows = fitted
    kinds = {type(layer).__name__ for layer in bundle.members[0].network.layers}
    assert {"Blend", "Between", "Functional", *(["KernelRegression"] if exact() else [])} <= kinds
    save_bundle(bundle, tmp_path / "bundle")
    keras.utils.clear_session()
    again = load_bundle(tmp_path / "bundle").predict(rows)
    known = bundle.predict(rows)
    np.testing.assert_allclose(again.mean, known.mean, rtol=1e-5)
    assert known.spread is not None
    assert not [f for f in (tmp_path / "bundle").rglob("*") if f.suffix in (".pkl", ".pickle")]


def test_what_is_fitted_beside_training_is_what_is_fitted_after_it(
    fitted: tuple[Bundle, Any],
) -> None:
    rows = small_rows(240)
    contract = small_contract(recipe={"architecture": "auto", "hidden": [16], "epochs": 12})
    preprocessing = fit_preprocessing(contract, rows.slice(0, 160))
    parts = (rows.slice(0, 160), rows.slice(160, 40))
    train, validation = (to_arrays(contract, preprocessing, part) for part in parts)
    layout = lay_out(contract, preprocessing, train, len(train.weight))
    network, _ = fit_network(contract, layout, train, validation, compiler=backend())
    after = finished(contract, preprocessing, layout, network, validation)
    known = fitted[0].members[0]
    assert after.settings == known.settings
    found, expected = (m.network.get_weights() for m in (after, known))
    assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True))


def test_nothing_is_learned_from_validation_rows_that_are_to_judge_recipes() -> None:
    rows = small_rows(160)
    contract = small_contract(recipe={"architecture": "auto", "hidden": [8], "epochs": 2})
    preprocessing = fit_preprocessing(contract, rows.slice(0, 120))
    parts = (rows.slice(0, 120), rows.slice(120))
    train, judging = (to_arrays(contract, preprocessing, part) for part in parts)
    other = Arrays(judging.inputs, judging.targets[::-1] + 1, judging.weight)

    def weights(validation: Arrays, apart: bool) -> list[bytes]:
        own = (contract, preprocessing, train, validation)
        member, _ = fit_member(*own, compiler=backend(), apart=apart)
        return [w.tobytes() for w in member.network.get_weights()]

    assert weights(judging, apart=True) == weights(other, apart=True)
    assert weights(judging, apart=False) != weights(other, apart=False)


def test_an_answer_stays_near_what_train_rows_held(fitted: tuple[Bundle, Any]) -> None:
    bundle, rows = fitted
    far = rows.set_column(rows.column_names.index("x"), "x", [[1e9] * len(rows)])
    network = bundle.members[0].network
    answers = network.predict(bundle.members[0].preprocessing.encode(far), verbose=0)
    assert np.abs(answers).max() < 30


def test_shares_of_the_answer_sum_to_one_and_are_told(fitted: tuple[Bundle, Any]) -> None:
    shares = fitted[0].members[0].settings["shares"]
    assert "networks" in shares
    trees = {"extra_trees", "boosted_trees", "stacked_trees"}
    assert set(shares) <= {"networks", "ridge", "kernel"} | trees
    for i in range(2):
        assert sum(own[i] for own in shares.values()) == pytest.approx(1, abs=1e-3)


def test_a_target_with_bounds_or_another_loss_is_answered_by_the_networks_alone() -> None:
    options = {"architecture": "auto", "hidden": [8], "epochs": 1, "loss": "mae"}
    rows = small_rows(60)
    contract = small_contract(recipe=options)
    bundle, _ = fit(contract, rows.slice(0, 40), rows.slice(40), compiler=backend())
    kinds = {type(layer).__name__ for layer in bundle.members[0].network.layers}
    assert "Blend" not in kinds
