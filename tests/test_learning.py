"""Losses, fitting and the bundle: masked, repeatable, and the same in another process."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.evaluate.models import bundle_model
from tasks.fits import keep_last_good
from tasks.learning.bundle import load_bundle, save_bundle
from tasks.learning.errors import Diverged
from tasks.learning.fitting import fit, fit_network
from tasks.learning.predictions import Predictions, combine
from tasks.learning.scores import errors
from tasks.learning.shards import Arrays
from tasks.learning.tables import numbers
from tests.builders import plain_layout, small_contract, small_rows
from tests.walk import surroundings


def test_fitting_beats_the_mean_and_leaves_missing_targets_out() -> None:
    contract = small_contract(
        recipe={"base": "shared_128_64", "epochs": 60, "batch_size": 40, "learning_rate": 0.01}
    )
    train, test = small_rows(600, seed=1), small_rows(200, seed=2, missing=0.0)
    bundle, curve = fit(contract, train, small_rows(200, seed=3))
    assert min(curve.val_loss) < curve.val_loss[0]
    for i, target in enumerate(bundle.targets):
        found = errors(numbers(test, target), bundle.predict(test).mean[:, i])
        assert found.r2 is not None
        assert found.r2 > 0.8


def arrays(seed: int, count: int = 160) -> Arrays:
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, 3)).astype(np.float32)
    targets = np.stack([inputs.sum(1), inputs[:, 0]], axis=1).astype(np.float32)
    return Arrays(inputs, targets, np.ones(count, np.float32))


def trained(contract: Contract, train: Arrays, validation: Arrays, *more: Any) -> Any:
    return fit_network(contract, plain_layout(train), train, validation, *more)


def validation_loss(network: keras.Model, data: Arrays) -> float:
    gap = network.predict(data.inputs, verbose=0) - data.targets
    return float(np.mean(np.square(gap)))


def weights(network: keras.Model) -> list[bytes]:
    return [np.asarray(w).tobytes() for w in network.get_weights()]


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    contract = small_contract()
    first, _ = trained(contract, arrays(0), arrays(1))
    second, _ = trained(contract, arrays(0), arrays(1))
    assert weights(first) == weights(second)


def test_the_best_epochs_weights_are_kept() -> None:
    recipe = {"base": "shared_128_64", "epochs": 30, "learning_rate": 0.3, "patience": 4}
    contract = small_contract(recipe=recipe)
    network, curve = trained(contract, arrays(0), arrays(1))
    validation = arrays(1)
    reached = validation_loss(network, validation)
    assert reached == pytest.approx(min(curve.val_loss), rel=1e-4)
    assert curve.best_epoch == int(np.argmin(curve.val_loss)) + 1


def test_the_best_epochs_weights_are_kept_when_the_budget_ends_first() -> None:
    # The validation rows say the opposite of the train rows: every epoch makes them worse.
    data = arrays(1)
    opposite = Arrays(data.inputs, -data.targets, data.weight)
    recipe = {"base": "shared_128_64", "epochs": 5, "learning_rate": 0.01, "batch_size": 16}
    network, curve = trained(small_contract(recipe=recipe), arrays(0), opposite)
    assert len(curve.loss) == 5
    assert curve.best_epoch < 5
    reached = validation_loss(network, opposite)
    assert reached == pytest.approx(min(curve.val_loss), rel=1e-4)


def test_each_epoch_is_told_as_it_ends() -> None:
    told: list[tuple[Any, ...]] = []
    _, curve = trained(small_contract(), arrays(0), arrays(1), lambda *n: told.append(n))
    assert all(sum(n[3].values()) / 2 == pytest.approx(n[2]) for n in told)  # a loss each
    assert [n[:3] for n in told] == [
        (i + 1, *n) for i, n in enumerate(zip(curve.loss, curve.val_loss, strict=True))
    ]


def test_a_batch_larger_than_the_rows_and_one_that_does_not_divide_them_both_train() -> None:
    for size in (1000, 7):
        recipe = {"base": "shared_128_64", "epochs": 2, "batch_size": size, "hidden": [4]}
        _, curve = trained(small_contract(recipe=recipe), arrays(0, 50), arrays(1, 11))
        assert curve.loss[1] < curve.loss[0]


def test_a_row_of_weight_nothing_changes_nothing() -> None:
    contract = small_contract()
    plain = arrays(0)
    spoiled = np.where(np.arange(160)[:, None] < 20, 1e3, plain.targets).astype(np.float32)
    weight = (np.arange(160) >= 20).astype(np.float32)
    first, _ = trained(contract, Arrays(plain.inputs, plain.targets, weight), arrays(1))
    second, _ = trained(contract, Arrays(plain.inputs, spoiled, weight), arrays(1))
    assert weights(first) == weights(second)


def test_a_loss_that_is_no_number_stops_the_run_and_says_so() -> None:
    data = arrays(0)
    wild = Arrays(data.inputs * np.float32(1e30), data.targets, data.weight)
    with pytest.raises(Diverged, match=r"the loss of a is no number at step 1, .*learning_rate"):
        trained(small_contract(), wild, wild)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, np.ndarray]:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    rows = small_rows()
    bundle, _ = fit(small_contract(), rows, small_rows(seed=5))
    save_bundle(bundle, folder)
    return folder, rows, bundle.predict(rows).mean


def test_a_bundle_answers_the_same_after_loading(
    saved: tuple[Path, pa.Table, np.ndarray],
) -> None:
    folder, rows, answers = saved
    loaded = load_bundle(folder)
    np.testing.assert_allclose(loaded.predict(rows).mean, answers, rtol=1e-5)
    assert (loaded.predict(rows.to_pandas()).mean == loaded.predict(rows).mean).all()


def test_a_champion_answers_the_targets_it_knows_in_the_order_asked_for(
    saved: tuple[Path, pa.Table, np.ndarray],
) -> None:
    folder, rows, answers = saved
    found = bundle_model(folder, ["b", "later", "a"])(rows).mean
    np.testing.assert_allclose(found[:, [2, 0]], answers, rtol=1e-5)
    assert np.isnan(found[:, 1]).all()


def test_a_bundle_loads_in_another_process_with_none_of_our_dear_parts(
    saved: tuple[Path, pa.Table, np.ndarray], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    folder, rows, answers = saved
    pq.write_table(rows, tmp_path / "rows.parquet")
    program = f"""
import sys
import numpy as np, pyarrow.parquet as pq
from pathlib import Path
from tasks.learning.bundle import load_bundle
rows = pq.read_table({str(tmp_path / "rows.parquet")!r})
answers = load_bundle(Path({str(folder)!r})).predict(rows)
np.save({str(tmp_path / "answers.npy")!r}, answers.mean)
dear = {{"prefect", "mlflow", "great_expectations", "pydantic", "duckdb"}}
assert not dear & set(sys.modules), dear & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], env=surroundings({}), check=True, stderr=-3)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), answers, rtol=1e-5)


def test_no_rows_have_no_predictions(saved: tuple[Path, pa.Table, np.ndarray]) -> None:
    folder, rows, _ = saved
    none = rows.slice(0, 0)
    for given in (none, none.to_pandas()):
        assert load_bundle(folder).predict(given).mean.shape == (0, 2)


def test_a_row_is_answered_alike_alone_and_among_others(
    saved: tuple[Path, pa.Table, np.ndarray],
) -> None:
    folder, rows, answers = saved
    bundle = load_bundle(folder)
    alone = np.concatenate([bundle.predict(rows.slice(i, 1)).mean for i in (0, 7, 199)])
    np.testing.assert_allclose(alone, answers[[0, 7, 199]], rtol=1e-5)
    turned = bundle.predict(rows.select(rows.column_names[::-1])).mean
    np.testing.assert_allclose(turned, answers, rtol=1e-5)


def test_nothing_in_a_bundle_is_pickled(saved: tuple[Path, pa.Table, np.ndarray]) -> None:
    folder = saved[0]
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert {f.suffix for f in files} == {".json", ".keras"}
    for file in (f for f in files if f.suffix == ".keras"):
        inside = set(zipfile.ZipFile(file).namelist())
        assert inside == {"metadata.json", "config.json", "model.weights.h5"}


def test_a_bundle_of_another_format_is_refused(
    saved: tuple[Path, pa.Table, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "bundle.json").write_text('{"format": 99, "members": 1, "targets": []}', "utf-8")
    with pytest.raises(ValueError, match="expected bundle format 2, came 99"):
        load_bundle(tmp_path)


def test_members_answer_with_the_mean_of_their_means() -> None:
    one, two = (Predictions(("a",), np.full((2, 1), v)) for v in (1.0, 3.0))
    assert combine([one, two]).mean.tolist() == [[2.0], [2.0]]
    assert combine([one]) is one


def test_predictions_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mean: expected \(rows, 2\), came \(3, 1\)"):
        Predictions(("a", "b"), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="spread"):
        Predictions(("a",), np.zeros((3, 1)), spread=np.zeros((2, 1)))
    with pytest.raises(ValueError, match="samples"):
        Predictions(("a",), np.zeros((3, 1)), samples=np.zeros((3, 5, 2)))


def test_errors_agree_with_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    draw = np.random.default_rng(0)
    truth, predicted, weight = draw.normal(size=(3, 100))
    weight = np.abs(weight)
    seen = draw.random(100) < 0.8
    found = errors(np.where(seen, truth, np.nan), predicted, weight)
    arguments = (truth[seen], predicted[seen])
    assert found.rows == seen.sum()
    assert found.mae == pytest.approx(mean_absolute_error(*arguments, sample_weight=weight[seen]))
    assert found.rmse == pytest.approx(
        root_mean_squared_error(*arguments, sample_weight=weight[seen])
    )
    assert found.r2 == pytest.approx(r2_score(*arguments, sample_weight=weight[seen]))


def test_r2_is_undefined_where_the_truth_does_not_vary() -> None:
    assert errors(np.full(5, 3.0), np.arange(5.0)).r2 is None


def test_no_common_row_is_told() -> None:
    with pytest.raises(ValueError, match="no row"):
        errors(np.array([np.nan]), np.array([1.0]))


def test_what_was_last_good_is_kept_and_the_fault_says_where(tmp_path: Path) -> None:
    bundle, _ = fit(small_contract(), small_rows(), small_rows(seed=5))
    fault = Diverged(3, (9, "b"), bundle.members[0].network, good_epoch=2)
    assert keep_last_good(small_contract(), fault) is fault  # It never was good: nothing to keep.
    assert not list(tmp_path.rglob("*.keras"))
    fault.member = bundle.members[0]
    words = str(keep_last_good(small_contract(), fault))
    assert "the loss of b is no number at step 9, in epoch 3" in words
    folder = Path(words.partition("The weights of epoch 2, the last good ones, are in ")[2])
    rows = small_rows(seed=2)
    np.testing.assert_array_equal(load_bundle(folder).predict(rows).mean, bundle.predict(rows).mean)
