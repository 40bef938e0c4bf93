"""The rival under cross-validation: the champion's recipe, on today's rows and folds."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.contract import Contract
from flows.again import rival_places
from flows.rival import find_rival
from tasks import preprocess, train
from tasks.evaluate.opponent import Rival, as_recipe
from tasks.records import Candidate, Checked, Difference, Fold, Opponent, Shards, Snapshot
from tasks.rival import as_champion, rival_contract
from tests.builders import CANDIDATE, small_contract

COLUMNS = ("id", "time", "x", "z", "place", "angle", "a", "b")


def folded(**changes: Any) -> Contract:
    return small_contract(**{"evaluation": {"folds": 3, "repeats": 2}} | changes)


def test_the_rival_has_the_champions_recipe_and_features_and_todays_rows_and_folds() -> None:
    old = small_contract(
        features={"x": {}}, recipe={"base": "heads_64"}, split={"kind": "random", "seed": 4}
    )
    today = folded(source={"kind": "parquet", "path": "new.parquet"}, time="time")
    found = as_champion(today, old, COLUMNS)
    assert (found.recipe, found.features) == (old.recipe, old.features)
    for name in ("source", "split", "evaluation", "expectations", "training", "key"):
        assert getattr(found, name) == getattr(today, name)


def test_the_rival_learns_the_targets_that_both_have_as_the_champion_did() -> None:
    old = small_contract(
        targets={"a": {"unit": "K", "transform": "robust", "loss": "mae"}, "gone": {"unit": "K"}},
        constraints=["a <= gone", "x <= a"],
    )
    found = as_champion(folded(), old, COLUMNS)
    assert found.targets == {"a": old.targets["a"]}
    assert [c.holds for c in found.constraints] == ["x <= a"]


def test_a_target_whose_unit_is_another_today_is_learned_in_todays() -> None:
    old = small_contract(targets={"b": {"unit": "hPa", "bounds": [900, 1100], "loss": "mae"}})
    found = as_champion(folded(), old, COLUMNS).targets["b"]
    assert (found.unit, found.bounds, found.loss) == ("Pa", None, "mae")


def test_a_feature_that_todays_rows_lack_is_left_out() -> None:
    old = small_contract(features={"x": {}, "lost": {}, "state[2]": {}})
    found = as_champion(folded(), old, (*COLUMNS, "state_0"))
    assert list(found.features) == ["x"]


def test_a_present_value_that_todays_rows_lack_is_todays() -> None:
    old = small_contract(targets={"a": {"unit": "K", "present": "lost"}})
    assert as_champion(folded(), old, COLUMNS).targets["a"].present == "x"


def test_todays_rules_need_not_fit_the_champions_targets() -> None:
    rules = [{"rule": "absolute", "at_most": 9, "targets": ["b"]}]
    old = small_contract(targets={"a": {"unit": "K"}})
    assert list(as_champion(folded(gate={"rules": rules}), old, COLUMNS).targets) == ["a"]


def test_a_champion_that_shares_no_target_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="targets"):
        as_champion(folded(), small_contract(targets={"c": {"unit": "K"}}), COLUMNS)


def test_there_is_no_rival_without_folds_without_a_champion_and_where_all_begins_anew() -> None:
    assert rival_contract(small_contract(), CANDIDATE) is None
    assert rival_contract(folded(), CANDIDATE) is None
    gate = {"rules": [{"rule": "champion"}], "rebaseline": "another sensor"}
    assert rival_contract(folded(gate=gate), CANDIDATE) is None


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """Return a candidate of `folded()`, finished as far as manifests say."""
    snapshot = Snapshot(rows=9, columns=dict.fromkeys(COLUMNS, "double"), source="")
    checked = Checked(snapshot=snapshot, rows=9, quarantined=0, expectations=0, hash="checked")
    shards = Shards(checked=checked, folds=(Fold(index=0, rows={}, inputs=5),), targets=("a", "b"))
    shards = preprocess.STAGE.run(folded(), checked.hash, work=lambda _: shards)
    found = CANDIDATE.model_copy(update={"shards": shards})
    return train.STAGE.run(folded(), shards.hash, work=lambda _: found)


def test_one_recipe_is_never_trained_twice(candidate: Candidate) -> None:
    champion = small_contract(description="as it was before folds")
    assert find_rival(as_champion(folded(), champion, COLUMNS), candidate) is candidate


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"base": "shared_128_64", "epochs": 9}},
        {"features": {"x": {}}},
        {"targets": {"a": {"unit": "K", "transform": "robust"}, "b": {"unit": "Pa"}}},
    ],
    ids=["recipe", "features", "transform"],
)
def test_what_learns_in_another_way_is_trained_and_then_found(
    candidate: Candidate, change: dict[str, Any]
) -> None:
    terms = as_champion(folded(), small_contract(**change), COLUMNS)
    assert find_rival(terms, candidate) is None
    other = candidate.shards.model_copy(update={"targets": ("others",)})
    shards = preprocess.STAGE.run(terms, other.checked.hash, work=lambda _: other)
    assert find_rival(terms, candidate) is None
    made = train.STAGE.run(terms, shards.hash, work=lambda _: candidate)
    assert made.place != candidate.place
    assert find_rival(terms, candidate) == made


MET = Rival(
    Opponent(
        version="3",
        shared=("a", "b"),
        differences=(
            Difference(kind="unit", name="x", words="x was in cm, and is in m", parts=True),
            Difference(kind="target added", name="b", words="b is predicted now", parts=True),
        ),
    )
)


def test_one_recipe_is_told_and_shares_nothing_to_compare(candidate: Candidate) -> None:
    found = as_recipe(folded(), MET, candidate, candidate)
    assert found.facts.same_recipe
    assert (found.facts.shared, found.model) == ((), None)
    assert "nothing to compare" in found.note


def test_another_recipe_is_compared_on_the_targets_that_it_was_trained_for(
    candidate: Candidate,
) -> None:
    shards = candidate.shards.model_copy(update={"targets": ("a",)})
    again = candidate.model_copy(update={"hash": "other", "shards": shards})
    found = as_recipe(folded(), MET, candidate, again)
    assert (found.facts.same_recipe, found.facts.shared, found.note) == (False, ("a",), "")
    assert {d.name: d.parts for d in found.facts.differences} == {"x": False, "b": True}


def test_a_recipe_that_was_not_trained_is_told(candidate: Candidate) -> None:
    found = as_recipe(folded(), MET, candidate, None)
    assert not found.facts.shared
    assert "version 3 was not trained on these folds" in found.note


def test_what_is_done_of_the_rival_is_forgotten_with_its_stage(candidate: Candidate) -> None:
    terms = as_champion(folded(), small_contract(features={"x": {}}), COLUMNS)
    other = candidate.shards.model_copy(update={"targets": ("others",)})
    shards = preprocess.STAGE.run(terms, other.checked.hash, work=lambda _: other)
    rival = train.STAGE.run(terms, shards.hash, work=lambda _: candidate)
    assert list(rival_places(terms, candidate)) == [
        ("preprocess", shards.place),
        ("train", rival.place),
    ]
