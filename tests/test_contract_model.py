"""What a valid contract says, and what the models derive from it."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_contracts.columns import MOST_COLUMNS, NumericFeature, Target, expand, vector_name
from data_contracts.contract import Contract
from data_contracts.gate import ChampionRule
from data_contracts.loading import contract_files, load_contract
from data_contracts.recipes import ARCHITECTURES, ready_made, resolve
from data_contracts.section import did_you_mean
from data_contracts.source import CsvSource
from data_contracts.split import SPLITS, GroupSplit, RandomSplit, seconds

MINIMAL = {
    "format": 1,
    "dataset": "small",
    "source": {"kind": "parquet", "path": "rows.parquet"},
    "key": ["id"],
    "features": {"temp": {}, "state[2]": {"unit": "K"}},
    "targets": {
        "tend[2]": {"unit": "K/s", "present": "state[2]", "group": "all"},
        "ahead": {"unit": "K", "group": "all"},
    },
    "target_groups": {"all": {}},
    "split": {"kind": "random"},
    "recipe": "shared_128_64",
}


def contract(**changes: object) -> Contract:
    return Contract.model_validate(MINIMAL | changes)


@pytest.mark.parametrize("dataset", contract_files())
def test_a_shipped_contract_comes_back_from_json_as_it_was(dataset):
    loaded = load_contract(dataset)
    assert Contract.model_validate(json.loads(loaded.model_dump_json())) == loaded


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"source": {"kind": "csv", "path": "rows.csv", "missing": ["-"]}},
        {"split": {"kind": "group", "columns": ["station"]}, "row_weight": "area"},
        {"split": {"kind": "column", "column": "fold"}, "constraints":
            ["a <= b", {"holds": "2*tend_0 <= temp", "enforce": True, "tolerance": 0.1}]},
        {"split": {"kind": "time", "gap": "3h"}, "time": "id"},
        {"features": {"t": {"kind": "timestamp", "parts": ["day_of_year"]}}, "recipe":
            {"architecture": "shared", "hidden": [4]}, "targets": {"ahead": {"unit": "K"}}},
        {"expectations": {"rows": [{"check": "one_of", "column": "c", "values": [1, "a"]}],
                          "table": [{"check": "mean", "column": "c", "max": 3}]}},
        {"gate": {"rules": [{"rule": "absolute", "at_most": 3, "targets": ["tend"]}]}},
    ],
)  # fmt: skip
def test_any_section_comes_back_from_json_as_it_was(changes):
    whole = contract(**changes)
    assert Contract.model_validate(json.loads(whole.model_dump_json())) == whole


def test_a_contract_comes_back_from_plain_values_as_it_was():
    assert Contract.model_validate(contract().model_dump()) == contract()


def test_a_contract_takes_sections_that_are_models_already():
    source = CsvSource(kind="csv", path="rows.csv")
    features = {"temp": NumericFeature(unit="K"), "state[2]": NumericFeature()}
    built = contract(source=source, features=features, split=RandomSplit(kind="random"))
    assert (built.source, built.features["temp"].unit) == (source, "K")


def test_a_contract_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        contract().dataset = "other"


def test_vector_groups_are_spread_out_in_order():
    assert list(contract().feature_columns) == ["temp", "state_0", "state_1"]
    assert list(contract().target_columns) == ["tend_0", "tend_1", "ahead"]


def test_each_column_of_a_vector_target_has_its_own_present_value():
    assert contract().present_columns == {"tend_0": "state_0", "tend_1": "state_1"}


def test_a_vector_target_is_a_group_beside_the_named_ones():
    assert contract().groups() == {
        "all": ("tend_0", "tend_1", "ahead"),
        "tend": ("tend_0", "tend_1"),
    }


def test_the_columns_that_a_contract_needs_are_listed_once_each():
    needs = contract(
        time="id",
        row_weight="area",
        constraints=["low <= temp"],
        expectations={
            "rows": [{"check": "not_null", "column": "checked"}],
            "table": [{"check": "row_count", "min": 1}],
        },
        split={"kind": "group", "columns": ["station"]},
    ).columns()
    assert sorted(needs) == sorted(
        [
            "id",
            "area",
            "temp",
            "state_0",
            "state_1",
            "tend_0",
            "tend_1",
            "ahead",
            "low",
            "checked",
            "station",
        ]
    )


def test_a_split_by_column_needs_that_column():
    assert "fold" in contract(split={"kind": "column", "column": "fold"}).columns()


def test_the_registered_model_has_the_datasets_name_unless_another_is_given():
    assert contract().registered_model == "small"
    assert contract(publishing={"model": "m"}).registered_model == "m"


def test_a_contract_without_a_gate_compares_with_baselines_and_the_champion():
    *baselines, champion = contract().gate.rules
    assert [r.baseline for r in baselines] == ["mean", "persistence"]
    assert isinstance(champion, ChampionRule)


def test_shares_are_in_the_order_of_the_splits():
    split = GroupSplit(kind="group", columns=("a",), train=0.4, validation=0.3, test=0.2)
    assert dict(zip(SPLITS, split.shares, strict=True)) == {
        "train": 0.4,
        "validation": 0.3,
        "calibration": 0.1,
        "test": 0.2,
    }


@pytest.mark.parametrize(
    ("duration", "long"), [("0s", 0), ("90s", 90), ("5min", 300), ("30h", 108_000), ("2d", 172_800)]
)
def test_a_duration_is_read_in_seconds(duration, long):
    assert seconds(duration) == long


@pytest.mark.parametrize("text", ["", "5", "h", "5 h", "5h\n", "-5h", "1.5h", "5m", "٣h"])
def test_a_duration_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="a whole number and s, min, h or d"):
        seconds(text)


def test_a_column_stands_for_itself():
    assert expand("temp") == ("temp",)
    assert vector_name("temp") is None


@given(st.text(string.ascii_lowercase + "_[].", min_size=1), st.integers(1, 200))
def test_a_vector_group_stands_for_its_numbered_columns(name, size):
    columns = expand(f"{name}[{size}]")
    assert columns == tuple(f"{name}_{i}" for i in range(size))
    assert vector_name(f"{name}[{size}]") == name


@given(st.text())
def test_any_name_stands_for_some_columns_or_is_refused(name):
    try:
        columns = expand(name)
    except ValueError:
        columns = (name,)
    assert 1 <= len(columns) <= MOST_COLUMNS


@pytest.mark.parametrize("size", ["0", "000", "10001", "9" * 5000])
def test_a_vector_group_of_no_columns_or_of_very_many_is_refused(size):
    with pytest.raises(ValueError, match="1 to 10,000 columns"):
        expand(f"state[{size}]")


def test_a_ready_made_recipe_is_valid_and_stays_as_it_is():
    for name, options in ready_made().items():
        recipe = contract(recipe=name).recipe
        assert recipe == contract(recipe=options).recipe
        assert resolve(name) == options


def test_a_recipe_with_a_base_differs_from_it_in_its_changes_alone():
    base = contract().recipe
    changed = contract(recipe={"base": "shared_128_64", "epochs": 7}).recipe
    assert changed == base.model_copy(update={"epochs": 7})


def test_every_architecture_is_told_apart_by_its_name():
    for model in ARCHITECTURES:
        (name,) = model.model_fields["architecture"].annotation.__args__
        assert type(contract(recipe={"architecture": name}).recipe) is model


@pytest.mark.parametrize("value", [True, "1", 1.5, [1], None])
def test_no_value_is_turned_into_another_kind(value):
    with pytest.raises(ValidationError):
        contract(recipe={"architecture": "shared", "epochs": value})


def test_a_whole_number_is_a_number():
    assert Target(unit="K", bounds=(0, 1)).bounds == (0.0, 1.0)


def test_no_near_name_gives_no_hint():
    assert did_you_mean("zzz", ["temp"]) == ""
