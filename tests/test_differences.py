"""What another contract means for a comparison: every difference is named, and few of them part."""

from typing import Any

import pytest

from data_contracts.contract import Contract
from tasks.evaluate.differences import differences, shared_targets
from tests.builders import small_contract


def units(contract: Contract) -> dict[str, str]:
    return {c: t.unit for c, t in contract.target_columns.items()}


def compared(old: Contract, new: Contract) -> tuple[list[tuple[str, str, bool]], tuple[str, ...]]:
    """Kind, name and whether it parts, of each difference; and the targets that are shared."""
    found = differences(old, new)
    return [(d.kind, d.name, d.parts) for d in found], shared_targets(units(old), new, found)


def test_one_contract_differs_in_nothing_from_itself() -> None:
    assert compared(small_contract(), small_contract()) == ([], ("a", "b"))


def test_targets_that_came_or_went_are_not_compared_and_the_others_are() -> None:
    old = small_contract(targets={"a": {"unit": "K"}, "b": {"unit": "Pa"}})
    new = small_contract(targets={"c": {"unit": "m"}, "b": {"unit": "Pa"}})
    found, shared = compared(old, new)
    assert found == [("target added", "c", True), ("target removed", "a", True)]
    assert shared == ("b",)


def test_a_target_in_another_unit_is_another_target() -> None:
    old = small_contract(targets={"a": {"unit": "°F"}, "b": {"unit": "Pa"}})
    new = small_contract(targets={"a": {"unit": "°C"}, "b": {"unit": "Pa"}})
    (difference,) = differences(old, new)
    assert difference.words == "a was in °F, and is in °C"
    assert compared(old, new)[1] == ("b",)


def test_a_vector_is_named_once() -> None:
    old = small_contract(targets={"v[60]": {"unit": "K"}, "b": {"unit": "Pa"}})
    new = small_contract(targets={"v[60]": {"unit": "Pa"}, "b": {"unit": "Pa"}})
    assert compared(old, new) == ([("unit", "v[60]", True)], ("b",))


def test_a_longer_vector_shares_the_columns_that_both_have() -> None:
    old = small_contract(targets={"v[2]": {"unit": "K"}})
    new = small_contract(targets={"v[3]": {"unit": "K"}})
    assert compared(old, new) == ([("target added", "v_2", True)], ("v_0", "v_1"))


def test_a_feature_in_another_unit_parts_all_targets() -> None:
    """The champion would read every row wrongly."""
    old = small_contract(features={"x": {"unit": "m"}, "z": {}})
    new = small_contract(features={"x": {"unit": "km"}, "z": {}})
    assert compared(old, new) == ([("unit", "x", True)], ())


@pytest.mark.parametrize(
    ("changes", "kind", "name"),
    [
        ({"targets": {"a": {"unit": "K", "present": "x"}, "b": {"unit": "Pa", "present": "z"}}},
         "transform", "b"),
        ({"features": {"x": {"unit": "m"}, "z": {"scaling": "standard"}}}, "feature changed", "z"),
        ({"features": {"x": {"unit": "m"}}}, "feature removed", "z"),
        ({"features": {"x": {"unit": "m"}, "z": {"scaling": "robust"}, "y": {}}},
         "feature added", "y"),
        ({"key": ["id", "x"]}, "meaning", "key"),
        ({"source": {"kind": "parquet", "path": "rows.parquet", "query": "SELECT * FROM source"}},
         "meaning", "source.query"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_model_can_live_with_is_told_and_compared(
    changes: dict[str, Any], kind: str, name: str
) -> None:
    both: dict[str, Any] = {"features": {"x": {"unit": "m"}, "z": {"scaling": "robust"}}}
    found, shared = compared(small_contract(**both), small_contract(**both | changes))
    assert found == [(kind, name, False)]
    assert shared == ("a", "b")


def test_a_target_that_is_described_anew_may_mean_something_else() -> None:
    old = small_contract(targets={"a": {"unit": "K", "description": "air"}})
    new = small_contract(targets={"a": {"unit": "K", "description": "soil"}})
    (difference,) = differences(old, new)
    assert (difference.kind, difference.parts) == ("meaning", False)
    assert difference.words == "a: description was air, and is soil"
