"""A whole evaluation, on real bundles and a real registry: its files, and whom it compares with."""

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks import registry
from tasks.evaluate.importance import importance
from tasks.evaluate.models import bundle_model, point_model
from tasks.evaluate.opponent import Memory, as_recipe, meet
from tasks.evaluate.scoring import evaluate_candidate
from tasks.evaluate.tables import distribution_rows, slice_rows
from tasks.learning.block_sums import BlockSums
from tasks.learning.reference import read_reference
from tasks.records import Candidate, Scores
from tasks.registry import Version
from tasks.seen import write_seen
from tasks.slices_file import read_slices
from tasks.storage import root_storage
from tests.builders import replaced, small_candidate, small_contract, small_rows

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

ROWS = small_rows(600)


@dataclass(frozen=True)
class Trained:
    """A candidate of ROWS with a distribution, in a home of its own."""

    home: Path
    contract: Contract
    candidate: Candidate

    @property
    def folder(self) -> Path:
        return root_storage().fetch(self.candidate.place)

    def version(self, folder: Path, contract: Contract | None = None, seen: Any = None) -> Version:
        """Register its bundle as a version that keeps a contract and rows seen, where given."""
        place = folder / "model" / "artifacts"
        shutil.copytree(self.folder / "bundle", place / "bundle")
        if contract is not None:
            (place / "contract.json").write_text(contract.model_dump_json(), "utf-8")
            write_seen(contract, [seen], place / "seen.parquet")
        client, name = registry.client(), self.contract.registered_model
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        made = client.create_model_version(name, place.parent.as_uri())
        return Version(name, str(made.version), {})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    home = tmp_path_factory.mktemp("trained")
    recipe = {"architecture": "joint_gaussian", "hidden": [4], "epochs": 1, "batch_size": 40}
    evaluation = {"baselines": ["mean", "persistence", "seasonal_persistence", "ridge"]}
    contract = small_contract(recipe=recipe, evaluation=evaluation)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(home))
        yield Trained(home, contract, small_candidate(contract, ROWS))


@pytest.fixture
def trained(made: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    monkeypatch.setenv("POLYCAST_HOME", str(made.home))
    return made


@pytest.fixture(scope="module")
def half_seen(made: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scores, Path]:
    """Scores against a version of the candidate's own bundle that has seen every second row, by
    another key than today's; and their folder."""
    folder = tmp_path_factory.mktemp("scores")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(made.home))
        then = made.contract.model_copy(update={"key": ("time",)})
        seen = ROWS.filter(pa.array(np.arange(600) % 2 == 0))
        champion = made.version(folder, then, seen)
        return evaluate_candidate(made.contract, made.candidate, champion, folder), folder


def test_a_candidate_keeps_what_its_train_rows_looked_like(trained: Trained) -> None:
    found = read_reference(trained.folder / "bundle")
    assert found is not None
    assert found.rows == trained.candidate.shards.folds[0].rows["train"]
    assert {c.column for c in found.columns if c.target} == {"a", "b"}
    assert {c.column for c in found.columns if not c.target} == {"x", "z", "place", "angle"}


def test_a_champion_answers_no_row_that_it_has_seen(half_seen: tuple[Scores, Path]) -> None:
    scores, folder = half_seen
    written = pq.read_table(folder / "predictions.parquet")
    odd = written["_row"].to_numpy() % 2 == 1
    np.testing.assert_array_equal(~np.isnan(written["champion/a"].to_numpy()), odd)
    facts = scores.opponent_facts
    assert facts is not None
    assert (facts.test_rows, facts.fresh_rows, facts.split_known) == (odd.size, odd.sum(), True)
    assert (facts.shared, facts.order) == (("a", "b"), "time")
    assert [d.name for d in facts.differences] == ["key"]
    assert datetime.fromisoformat(facts.trained or "").tzinfo == UTC


def test_champion_and_candidate_are_paired_block_by_block(half_seen: tuple[Scores, Path]) -> None:
    scores, folder = half_seen
    sums = BlockSums.load(folder / "paired.npz")
    np.testing.assert_array_equal(*sums.errors("rmse"))  # of one bundle
    paired = [s.rows for s in scores.scores if s.model == "champion"]
    assert sums.rows.sum(axis=0).tolist() == paired
    for score in scores.scores:
        if score.model == "champion":
            assert score.candidate["rmse"] == pytest.approx(score.rmse)


def test_every_slice_is_written_with_the_errors_of_all_models(
    half_seen: tuple[Scores, Path], trained: Trained
) -> None:
    scores, folder = half_seen
    slices = read_slices(folder / "slices.parquet")
    assert {"place=here", "hour=00-06", "missing=some"} <= {s.slice for s in slices}
    assert {m for s in slices for m in s.others} == set(scores.models) - {"candidate"}
    assert len(slice_rows(trained.contract, scores)) == len(scores.worst)


def test_distributions_are_scored_and_shown(
    half_seen: tuple[Scores, Path], trained: Trained
) -> None:
    scores, _ = half_seen
    own = next(s for s in scores.scores if s.model == "candidate").distribution
    assert own is not None
    assert own.log_likelihood is not None
    assert sum(own.pit) == pytest.approx(1)
    assert own.crps < next(s.mae for s in scores.scores if s.model == "candidate")
    shown = distribution_rows(trained.contract, scores)
    assert [r["model"] for r in shown if r["target"] == "all"] == list(scores.models)
    assert {r["model"] for r in shown if r["target"] == "a"} == {"candidate", "champion"}


def test_importance_and_cost_are_told(half_seen: tuple[Scores, Path], trained: Trained) -> None:
    scores, folder = half_seen
    risen = json.loads((folder / "importance.json").read_text("utf-8"))
    assert list(risen) == list(trained.contract.features)
    assert set(risen["x"]) == {"a", "b"}
    assert scores.cost is not None
    assert set(scores.cost.milliseconds) == {"p50/1", "p99/1", "p50/10000", "p99/10000"}
    size = sum(f.stat().st_size for f in (trained.folder / "bundle").rglob("*") if f.is_file())
    assert scores.cost.megabytes == size / 1e6


def test_means_are_those_of_the_published_model_though_samples_are_drawn(trained: Trained) -> None:
    rows = ROWS.slice(0, 50)
    model = bundle_model(trained.folder / "bundle", ["b", "a"])
    assert (model.draws, model.sampled(rows.slice(0, 1)).draws) == (0, 64)
    found = model.sampled(rows)(rows)
    assert found.samples is not None
    assert found.samples.shape == (50, 64, 2)
    plain = model.bundle.predict(rows)
    np.testing.assert_allclose(found.mean, plain.mean[:, [1, 0]], rtol=1e-5)


def test_an_old_version_is_compared_on_later_rows_alone() -> None:
    rows, until = small_rows(100), datetime(2024, 1, 3, 23, tzinfo=UTC)
    fresh = Memory(until=until).fresh(small_contract(), rows)
    np.testing.assert_array_equal(fresh, np.arange(100) > 71)
    assert not Memory().fresh(small_contract(), rows).any()


def test_a_target_in_another_unit_is_not_compared_though_the_contract_was_not_kept(
    trained: Trained, tmp_path: Path
) -> None:
    new = small_contract(targets={"a": {"unit": "°C"}, "b": {"unit": "Pa"}})
    found = meet(new, trained.version(tmp_path), ROWS.slice(0, 1))
    assert found.facts.shared == ("b",)
    assert [(d.kind, d.name) for d in found.facts.differences] == [("unit", "a")]
    assert not found.facts.split_known
    assert found.model is not None
    mean = found.model(ROWS).mean
    assert np.isnan(mean[:, 0]).all()
    assert np.isfinite(mean[:, 1]).all()


def test_a_renamed_column_is_named_and_is_no_deadlock(trained: Trained, tmp_path: Path) -> None:
    features = dict(trained.contract.model_dump()["features"])
    features["height"] = features.pop("z")
    new = small_contract(features=features, targets={"a": {"unit": "K"}, "b": {"unit": "Pa"}})
    names = ["height" if c == "z" else c for c in ROWS.column_names]
    champion = trained.version(tmp_path, trained.contract, ROWS)
    found = meet(new, champion, ROWS.rename_columns(names).slice(0, 1))
    assert (found.model, found.facts.shared) == (None, ())
    assert "cannot answer these rows: raw rows need the columns z" in found.note
    kinds = [(d.kind, d.name) for d in found.facts.differences if d.kind.startswith("feature")]
    assert kinds == [("feature added", "height"), ("feature removed", "z")]


def test_under_cross_validation_a_recipe_is_compared_and_no_model(
    trained: Trained, tmp_path: Path
) -> None:
    new = small_contract(
        targets={"a": {"unit": "°C"}, "b": {"unit": "Pa"}}, recipe=trained.contract.recipe
    )
    met = meet(new, trained.version(tmp_path, trained.contract, ROWS), ROWS.slice(0, 1))
    other = trained.candidate.model_copy(update={"hash": "another"})
    again = as_recipe(new, met, trained.candidate, other)
    assert (again.model, again.facts.shared, again.note) == (None, ("a", "b"), "")
    shards = other.shards.model_copy(update={"targets": ("b",)})
    one = other.model_copy(update={"shards": shards})
    assert as_recipe(new, met, trained.candidate, one).facts.shared == ("b",)
    assert not any(d.parts for d in again.facts.differences)
    alone = as_recipe(new, met, trained.candidate, trained.candidate)
    assert alone.facts.same_recipe
    assert "nothing to compare" in alone.note


def folded(trained: Trained) -> Candidate:
    """A candidate of two folds, whose models are one model, and whose tests share no row."""
    storage, shards = root_storage(), trained.candidate.shards
    with storage.write("two") as job:
        data = storage.fetch(shards.place)
        for i in (0, 1):
            shutil.copytree(data / "fold_0", job.folder / f"fold_{i}")
        splits = pq.read_table(data / "splits.parquet")
        swapped = {"test": "train", "train": "test"}
        other = [swapped.get(s, s) for s in splits["fold_0"].to_pylist()]
        pq.write_table(splits.append_column("fold_1", [other]), job.folder / "splits.parquet")
    with storage.write("folds") as job:
        for place in ("bundle", "folds/fold_0/bundle", "folds/fold_1/bundle"):
            shutil.copytree(trained.folder / "bundle", job.folder / place)
    both = (shards.folds[0], shards.folds[0].model_copy(update={"index": 1}))
    shards = shards.model_copy(update={"place": "two", "folds": both})
    return trained.candidate.model_copy(update={"place": "folds", "shards": shards})


def test_each_fold_is_scored_and_is_one_block_of_the_paired_test(
    trained: Trained, tmp_path: Path
) -> None:
    evaluation = trained.contract.evaluation.model_copy(update={"baselines": ("persistence",)})
    contract = trained.contract.model_copy(update={"evaluation": evaluation})
    candidate, champion = folded(trained), trained.version(tmp_path, contract, ROWS)
    rival = candidate.model_copy(update={"hash": "another"})
    scores = evaluate_candidate(contract, candidate, champion, tmp_path, rival)
    assert scores.models == ("candidate", "champion", "persistence")
    facts = scores.opponent_facts
    assert facts is not None
    assert (facts.order, facts.fresh_rows) == ("folds", facts.test_rows)
    sums = BlockSums.load(tmp_path / "paired.npz")
    own = [s for s in scores.scores if s.model == "candidate"]
    assert [(s.fold, s.target) for s in own] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert sums.rows.ravel().tolist() == [s.rows for s in own]
    assert pq.read_table(tmp_path / "predictions.parquet")["fold"].unique().to_pylist() == [0, 1]


def test_what_a_model_does_not_look_at_has_no_importance() -> None:
    contract = small_contract(features={"x": {}, "z": {}}, targets={"b": {"unit": "Pa"}})
    rows = small_rows(missing=0.0)
    model = point_model("b", lambda part: part["z"].to_numpy()[:, None])
    for most in (1, 10**6):
        found = importance(contract, model, rows, most)
        assert found["x"] == {"b": 0.0}
        assert found["z"]["b"] > 1
    exact = replaced(rows, "b", rows["z"])
    assert importance(contract, model, exact, 10**6) == {"x": {}, "z": {}}


@pytest.mark.parametrize(("name", "columns"), [("v[2]", ("v_0", "v_1")), ("x", ("x", "_before/x"))])
def test_the_columns_of_a_feature_change_places_together(
    name: str, columns: tuple[str, str]
) -> None:
    contract = small_contract(features={name: {}}, targets={"b": {"unit": "Pa"}})
    draw, (one, other) = np.random.default_rng(0).normal(size=100), columns
    rows = pa.table({one: draw, other: -draw, "b": np.ones(100)})
    model = point_model("b", lambda r: (r[one].to_numpy() + r[other].to_numpy())[:, None])
    assert importance(contract, model, rows, 10**6) == {name: {"b": 0.0}}
