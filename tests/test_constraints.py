"""Constraints: what their text says, which are refused, and the rows that break them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from data_contracts.constraints import Constraint, Linear, parse
from data_contracts.contract import Contract
from data_contracts.errors import refusals
from tasks.learning.relations import count, relations_of
from tasks.records import Checked, Snapshot
from tasks.validate.checking import check_rows

ROWS = 40
CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": "small",
    "source": {"kind": "parquet", "path": "rows.parquet"},
    "key": ["id"],
    "features": {"whole": {}, "low": {}, "flag": {"kind": "categorical"}},
    "targets": {"a": {"unit": "m"}, "b": {"unit": "m"}, "c": {"unit": "m"}},
    "expectations": {"tolerance": 0.2},
    "split": {"kind": "random"},
    "recipe": "shared_128_64",
}


def contract(*constraints: Any, **changes: Any) -> Contract:
    return Contract.model_validate(CONTRACT | {"constraints": constraints} | changes)


def columns() -> dict[str, Any]:
    a, b = [0.5 * i for i in range(ROWS)], [float(i % 7) for i in range(ROWS)]
    c = [0.1 * i for i in range(ROWS)]
    return {
        "id": list(range(ROWS)),
        "whole": [sum(cells) for cells in zip(a, b, c, strict=True)],
        "low": [v - 1 for v in b],
        "flag": [True, False] * (ROWS // 2),
        "a": a,
        "b": b,
        "c": c,
    }


@pytest.fixture
def check(tmp_path):
    def run(by: Contract, data: dict[str, Any]) -> Checked:
        table = pa.table({"_row": list(range(ROWS))} | data)
        pq.write_table(table, tmp_path / "rows.parquet")
        snapshot = Snapshot(rows=ROWS, columns={}, source="")
        (tmp_path / "out").mkdir(exist_ok=True)
        return check_rows(by, snapshot, tmp_path / "rows.parquet", tmp_path / "out")

    return run


def refused(*constraints: Any, **changes: Any) -> list[tuple[Any, str, str]]:
    with pytest.raises(ValidationError) as caught:
        contract(*constraints, **changes)
    return [(r.path, r.expected, r.hint) for r in refusals(caught.value)]


@pytest.mark.parametrize(
    ("text", "coefficients", "constant", "equal"),
    [
        ("dewp <= temp", {"dewp": 1, "temp": -1}, 0, False),
        (" c<=d ", {"c": 1, "d": -1}, 0, False),
        ("a >= b + 1e3", {"a": -1, "b": 1}, 1000, False),
        ("a + b + c == total", {"a": 1, "b": 1, "c": 1, "total": -1}, 0, True),
        ("2*a - 0.5 * b <= 10", {"a": 2, "b": -0.5}, -10, False),
        ("-a + 3 == a - .5*t_1 + 1", {"a": -2, "t_1": 0.5}, 2, True),
        ('"dew <= point" <= x.y', {"dew <= point": 1, "x.y": -1}, 0, False),
        ("e1 <= 2*e1 + a - a", {"e1": -1}, 0, False),
        ("température >= -40", {"température": -1}, -40, False),
    ],
)
def test_the_text_of_a_constraint_comes_to_one_side(text, coefficients, constant, equal):
    assert parse(text) == Linear(coefficients, constant, equal)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-9, 9).filter(bool), min_size=1),
    st.integers(-9, 9),
    st.sampled_from(["<=", ">=", "=="]),
)
def test_any_sum_is_read_as_it_is_written(terms, constant, relation):
    text = " ".join(f"{v:+d}*{c}" for c, v in terms.items()) + f" {relation} {constant}"
    found = parse(text)
    sign = -1 if relation == ">=" else 1
    assert found.coefficients == {c: sign * v for c, v in terms.items()}
    assert (found.constant, found.equal) == (-sign * constant, relation == "==")


@given(st.text('ab0.5*+-<>= "()', max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse(text)
    except PydanticCustomError:
        return
    assert all(found.coefficients.values())


@pytest.mark.parametrize(
    ("text", "expected", "hint"),
    [
        ("a < b", "sums of columns and numbers with <=, >= or ==", "write <= for <"),
        ("a = b", "sums of columns", "== for ="),
        ("2 a <= b", "sums of columns", "write 2*a for 2 a"),
        ("a / 2 <= b", "sums of columns", "without brackets and divisions"),
        ("2*(a + b) <= c", "sums of columns", "without brackets"),
        ("a <= b <= c", "sums of columns", ""),
        ("a b <= c", "sums of columns", ""),
        ("a <=", "sums of columns", ""),
        ("a + <= b", "sums of columns", ""),
        ("", "sums of columns", ""),
        ("a <= a + 1", "a constraint on at least one column", "cancel out"),
        ("1e999*a <= b", "finite numbers", ""),
    ],
)
def test_text_of_another_form_is_refused(text, expected, hint):
    ((path, said, hinted),) = refused(text)
    assert path == ("constraints", 0, "holds")
    assert said.startswith(expected)
    assert hint in hinted


def test_a_constraint_is_text_or_a_mapping():
    (text,), (mapping,) = (
        contract(given).constraints for given in ("a <= b", {"holds": "a  <= b", "enforce": False})
    )
    assert text == mapping == Constraint(holds="a <= b")


@pytest.mark.parametrize("value", [5, ["a <= b"], {"enforce": True}, {"holds": "a <= b", "by": 1}])
def test_a_constraint_of_another_kind_is_refused(value):
    assert refused(value)[0][0][:2] == ("constraints", 0)


def test_a_contract_needs_the_columns_of_its_constraints():
    assert "total" in contract("a + b == total").columns()


def test_an_enforced_constraint_names_a_target_and_what_predictions_know():
    enforced = {"enforce": True}
    assert refused(enforced | {"holds": "low <= whole"})[0][1].startswith(
        "a constraint on at least"
    )
    unknown = refused(enforced | {"holds": "a + other <= low"}, time="other")
    assert unknown[0][1:] == (
        "targets and numbers among the features: predictions know nothing else",
        "",
    )
    assert refused(enforced | {"holds": "a <= flag"})[0][0] == ("constraints", 0, "holds")
    assert refused("a <= b", "a  <= b")[0][1] == "each constraint once"


@pytest.mark.parametrize("text", ["a <= b", "2*a + low <= 3*b - 1", "a >= low", "b >= a"])
def test_quantiles_can_be_held_in_order(text):
    recipe = {"architecture": "quantile"}
    assert contract({"holds": text, "enforce": True}, recipe=recipe).constraints[0].enforce


@pytest.mark.parametrize("text", ["a == low", "a + b <= whole", "a + b + c == whole", "a + b <= c"])
def test_quantiles_of_a_sum_are_not_enforced(text):
    recipe = {"architecture": "quantile"}
    assert contract(text, recipe=recipe).constraints[0].holds == text
    ((path, said, hint),) = refused({"holds": text, "enforce": True}, recipe=recipe)
    assert path == ("constraints", 0, "holds")
    assert "those of a sum are no sum of them" in said
    assert "joint_gaussian" in hint


def test_a_rule_on_constraints_needs_one_that_names_a_target():
    gate = {"rules": [{"rule": "constraints"}]}
    assert refused("low <= whole", gate=gate)[0][0] == ("gate", "rules", 0, "rule")
    assert contract("a <= whole", gate=gate).gate.rules[0].at_most == 0


def reasons(checked: Checked) -> dict[str, int]:
    return {r.expectation: r.rows for r in checked.reasons}


def test_rows_that_break_a_sum_are_quarantined_with_its_words(check, tmp_path):
    data = columns()
    data["a"][3], data["b"][6], data["c"][8] = 50.0, None, None
    checked = check(contract("a + b + c == whole"), data)
    assert reasons(checked) == {"a + b + c == whole": 1}
    assert checked.reasons[0].examples[0].startswith("a=50.0, b=3.0, c=0.3000")
    assert checked.reasons[0].examples[0].endswith("at id=3")
    table = pq.read_table(tmp_path / "out/quarantine.parquet")
    assert table.column("_row").to_pylist() == [3]
    assert table.column("_reasons").to_pylist() == [["a + b + c == whole"]]


def test_a_comparison_of_two_columns_takes_them_as_they_are(check):
    data = columns()
    data["low"] = list(data["b"])
    data["low"][5] = np.nextafter(data["b"][5], np.inf)
    checked = check(contract("b >= low"), data)
    assert reasons(checked) == {"low <= b": 1}


def test_a_tolerance_is_in_units(check):
    data = columns()
    data["whole"][:3] = [data["whole"][0] + 0.4, data["whole"][1] - 0.6, data["whole"][2] - 0.4]
    near = {"holds": "a + b + c == whole", "tolerance": 0.5}
    plain = {"holds": "low <= b", "tolerance": 0.5}
    data["low"][:2] = [data["b"][0] + 0.4, data["b"][1] + 0.6]
    assert reasons(check(contract(near, plain), data)) == {
        "a + b + c == whole within 0.5": 1,
        "low <= b within 0.5": 1,
    }


def test_the_rounding_of_32_bit_numbers_breaks_no_sum(check):
    data = {k: v if k in ("id", "flag") else np.array(v, np.float32) for k, v in columns().items()}
    assert check(contract("a + b + c == whole"), data).quarantined == 0


def test_whole_numbers_decimals_and_flags_are_summed(check):
    data = columns()
    data["a"] = pa.array([2**62] * ROWS, pa.int64())
    data["b"] = pa.array(data["b"]).cast(pa.decimal128(9, 3))
    data["on"] = [True, False] * (ROWS // 2)
    by = contract("3*a >= 2*b", "b + 7*on >= 1", targets={"b": {"unit": "m"}, "c": {"unit": "m"}})
    low = sum(b + 7 * on < 1 for b, on in zip(columns()["b"], data["on"], strict=True))
    assert reasons(check(by, data)) == {"b + 7*on >= 1": low}


def test_a_column_of_text_in_a_constraint_stops(check):
    data = columns() | {"low": ["1"] * ROWS}
    breaches = check(contract("low + a <= 5"), data).breaches
    assert [b.partition(",")[0] for b in breaches] == ["low: expected a number"]


def test_hostile_names_in_a_constraint_are_only_names(check, tmp_path):
    names = ["it's", "per%cent", "co:lon", "do$llar", "{brace}", "</td><script>", "; DROP", "<= =="]
    data = columns() | {n: [float(i) for i in range(ROWS)] for n in names}
    by = contract(*(f'"{n}" + 1 <= 39' for n in names))
    assert reasons(check(by, data)) == {f'"{n}" + 1 <= 39': 1 for n in names}
    assert "<script" not in (tmp_path / "out/data_docs/index.html").read_text()


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3), min_size=2, max_size=8))
def test_rows_and_predictions_are_judged_alike(rows):
    import duckdb

    from tasks.validate.excess import excess_sql

    values = np.array(rows, np.float64)
    cells = pa.table(dict(zip("abc", values.T, strict=True)))
    by = contract("a + b == 2*c - 1", {"holds": "3*a - b >= c", "tolerance": 7.0})
    counts = count(relations_of(by), values, cells)
    for constraint in by.constraints:
        sql = excess_sql(constraint.linear, constraint.tolerance)
        (found,) = duckdb.sql(f"SELECT count(*) FROM cells WHERE {sql} > 0").fetchall()
        assert found == (counts[constraint.holds].broken,)


def test_the_slack_of_a_relation_is_one_number_wherever_it_is_judged():
    from data_contracts import constraints
    from tasks.learning import relations

    assert constraints.RELATIVE == relations.RELATIVE
    assert constraints.ROUNDING == relations.ROUNDING
