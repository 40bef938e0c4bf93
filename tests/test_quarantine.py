"""Rows in quarantine: listed by reason, released, let through, and judged anew once they change."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.errors import DataError, WrongRequest
from tasks.ingest import STAGE as INGEST
from tasks.ingest import locate, take_snapshot
from tasks.preprocess import write_shards
from tasks.records import Checked
from tasks.releases import releases
from tasks.storage import root_storage
from tasks.validate import checked_rows, done
from tasks.validate.check import Check
from tasks.validate.engine import Outcome
from tasks.validate.passage import let_through, offence
from tasks.validate.releasing import Wanted, release
from tests.builders import replaced, small_contract, small_rows
from tests.walk import polycast

X = "x between -100 and 100 m"
Z = "z between -100 and 100"
A = "a between -100 and 100 K"


def bounded(file: Path, **changes: Any) -> Contract:
    """Return the small contract with bounds, over the rows of a file."""
    content = small_contract().model_dump(mode="json", exclude_defaults=True)
    for column, kind in (("x", "features"), ("z", "features"), ("a", "targets")):
        content[kind][column]["bounds"] = [-100, 100]
    content |= {"source": {"kind": "parquet", "path": str(file)}, "constraints": []}
    return Contract.model_validate(content | {"expectations": {"tolerance": 0.1}} | changes)


def write(file: Path, *cells: tuple[str, int, Any]) -> None:
    """Write the small rows with some of their cells changed."""
    rows = small_rows(missing=0.0).drop_columns(["_row"])
    for column, row, value in cells:
        values = rows[column].to_pylist()
        values[row] = value
        rows = replaced(rows, column, values)
    pq.write_table(rows, file)


def checked(contract: Contract) -> Checked:
    """Take a snapshot and check it, as the stages do."""
    source = locate(contract)
    snapshot = INGEST.run(
        contract, source.identity(), work=lambda f: take_snapshot(contract, source, f)
    )
    return checked_rows(contract, snapshot)


def shards_rows(contract: Contract, found: Checked, folder: Path) -> int:
    storage = root_storage()
    files = (
        storage.fetch(found.snapshot.place) / "rows.parquet",
        storage.fetch(found.place) / "quarantine.parquet",
    )
    folder.mkdir()
    return sum(write_shards(contract, found, *files, folder).folds[0].rows.values())


def test_a_released_row_is_in_the_shards_until_its_value_changes(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = bounded(file)
    write(file, ("x", 3, 500.0), ("x", 5, 600.0))
    before = checked(contract)
    assert (before.quarantined, before.released) == (2, 0)
    assert shards_rows(contract, before, tmp_path / "before") == 198

    made = release(contract, Wanted(keys=["id=3"]), "ann", "the sensor is right")
    assert (made.by, made.why, made.reasons) == ("ann", "the sensor is right", {X: 1})
    assert done(contract, before.snapshot) is None  # what is finished knows nothing of it
    after = checked(contract)
    assert (after.quarantined, after.released, after.rows) == (1, 1, 199)
    assert [(r.expectation, r.rows) for r in after.reasons] == [(X, 1)]
    assert after.summary.endswith("1 row quarantined, 1 released")
    assert shards_rows(contract, after, tmp_path / "after") == 199
    found = json.loads((root_storage().fetch(after.place) / "validation.json").read_text("utf-8"))
    (own,) = [e for e in found["expectations"] if e["words"] == X]
    assert (own["unexpected"], own["released"]) == (1, 1)

    write(file, ("x", 3, 501.0), ("x", 5, 600.0))
    assert (checked(contract).quarantined, checked(contract).released) == (2, 0)
    write(file, ("x", 3, 500.0), ("z", 3, 1.0))  # another of its cells may change
    assert (checked(contract).quarantined, checked(contract).released) == (0, 1)
    narrower = bounded(file, features={"x": {"unit": "m", "bounds": [-90, 90]}})
    assert checked(narrower).released == 0  # another expectation is another question


@pytest.mark.parametrize("key", ["place=a,b, id=3", "place=a,b,id=3"])
def test_a_key_of_several_columns_needs_no_blank(tmp_path: Path, key: str) -> None:
    file = tmp_path / "rows.parquet"
    contract = bounded(file, key=["place", "id"])
    write(file, ("x", 3, 500.0), ("place", 3, "a,b"), ("x", 5, 600.0))
    checked(contract)
    assert release(contract, Wanted(keys=[key]), "ann", "why").reasons == {X: 1}


def test_a_reason_lets_through_that_expectation_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = bounded(file)
    write(file, ("x", 3, 500.0), ("z", 3, 500.0), ("x", 5, 600.0), ("a", 7, 700.0))
    assert checked(contract).quarantined == 3
    made = release(contract, Wanted(reasons=[X]), "ann", "why")
    assert made.reasons == {X: 2}
    after = checked(contract)
    assert {r.expectation for r in after.reasons} == {Z, A}
    assert (after.quarantined, after.released) == (2, 1)
    release(contract, Wanted(), "ann", "all of them")
    assert (checked(contract).quarantined, checked(contract).released) == (0, 3)
    assert [r.why for r in releases("small")] == ["all of them", "why"]
    with pytest.raises(DataError, match="nothing in quarantine"):
        release(contract, Wanted(), "ann", "once more")


def test_what_is_not_in_quarantine_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = bounded(file)
    with pytest.raises(DataError, match="has not been validated"):
        release(contract, Wanted(), "ann", "why")
    write(file, ("x", 3, 500.0))
    checked(contract)
    for wanted, words in (
        (Wanted(keys=["id=4"]), "no such row is in quarantine for that: id=4"),
        (Wanted(keys=["3", "4"]), "for that: 4"),
        (Wanted(reasons=["x between 0 and 100 m"]), f"did you mean '{X}'"),
    ):
        with pytest.raises(WrongRequest, match=words):
            release(contract, wanted, "ann", "why")
    wider = bounded(file, features={"x": {"unit": "m", "bounds": [-200, 200]}})
    with pytest.raises(DataError, match="the contract has changed since"):
        release(wider, Wanted(), "ann", "why")
    assert releases("small") == []


def test_rows_that_are_not_all_named_are_not_let_through(tmp_path: Path) -> None:
    file = tmp_path / "numbered.parquet"
    rows = small_rows(5)
    pq.write_table(rows, file)
    contract = small_contract()
    check = Check("x", "is fine", "quarantine", "", columns=("x",))
    free = frozenset(offence(contract, check, cells) for cells in rows.to_pylist())
    whole, part = (Outcome(check, False, n, rows=[1, 3]) for n in (2, 9))
    found = let_through(contract, [whole, part], file, free)
    assert [(o.unexpected, o.rows, o.released) for o in found] == [(0, [], 2), (9, [1, 3], 0)]


def test_a_condition_that_names_no_column_judges_the_whole_row() -> None:
    contract, check = small_contract(), Check("x < 3", "holds", "quarantine", "")
    (cells,) = small_rows(1, missing=0.0).to_pylist()
    own = offence(contract, check, cells)
    assert offence(contract, check, cells | {"_row": 9, "_reasons": ["x"]}) == own
    assert offence(contract, check, cells | {"angle": 1.0}) != own


def test_the_quarantine_is_listed_and_released_by_command(tmp_path: Path, api: str) -> None:
    file = tmp_path / "rows.parquet"
    write(file, ("x", 3, 500.0), ("a", 7, 700.0))
    contract = tmp_path / "data_contracts" / "small.yaml"
    contract.parent.mkdir()
    contract.write_text(bounded(file).model_dump_json(exclude_defaults=True), "utf-8")
    none = polycast(tmp_path, "quarantine", "list", "small")
    assert "No validation yet: polycast check small" in none.stdout
    assert polycast(tmp_path, "check", "small", PREFECT_API_URL=api).returncode == 0
    listed = polycast(tmp_path, "quarantine", "list", "small").stdout
    assert "2 rows quarantined of 200" in listed
    assert f"1  {X}\n" in listed
    assert "500.0 at id=3" in listed
    wrong = polycast(tmp_path, "quarantine", "release", "small", "--why", "y")
    assert wrong.returncode == 2
    assert "expected --reason, --key or both, or else --all" in wrong.stderr
    words = ("quarantine", "release", "small", "--reason", X, "--why", "the sensor is right")
    done = polycast(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "small: 1 row released" in done.stdout
    again = polycast(tmp_path, "check", "small", PREFECT_API_URL=api)
    assert "quarantined: a between -100 and 100 K: 1 row" in again.stdout
    listed = polycast(tmp_path, "quarantine", "list", "small", "--limit", "1").stdout
    assert "the sensor is right" in listed
    assert "older validations" in listed
