"""Files of rows are answered whole and in order, with units, by the version that is asked."""

import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks import registry
from tasks.backends.compiled import compiled
from tasks.errors import DataError, WrongRequest
from tasks.learning.bundle import Bundle
from tasks.predict import Prediction, Request, predict_rows
from tasks.predict import work as working
from tasks.predict.parts import Parts
from tasks.uses import uses
from tests.builders import replaced, small_contract, small_rows
from tests.predicting import register, untrained
from tests.walk import polycast, surroundings

CONTRACT = small_contract(
    key=["id", "time"],
    features=small_contract().model_dump(mode="json")["features"]
    | {"x": {"unit": "m", "bounds": [-50, 50]}},
    targets={
        "a": {"unit": "K", "description": "warmth", "present": "x"},
        "b": {"unit": "Pa", "present": "z", "transform": "change"},
    },
    constraints=["z <= 1000", "a >= z"],
    expectations={"rows": [{"check": "one_of", "column": "place", "values": ["here", "there"]}]},
)
ROWS = small_rows(5000, seed=4).drop_columns(["_row", "a", "b"])


@dataclass(frozen=True)
class Home:
    """A registry with a champion, and a file of rows."""

    folder: Path
    bundle: Bundle

    def file(self, rows: pa.Table, name: str = "rows.parquet") -> str:
        pq.write_table(rows, self.folder / name, row_group_size=1500)
        return str(self.folder / name)

    @property
    def out(self) -> Path:
        return self.folder / "answers.parquet"

    def predict(self, rows: pa.Table = ROWS, **asked: Any) -> Prediction:
        return predict_rows(CONTRACT, Request(self.file(rows), str(self.out), **asked))

    def left(self) -> set[str]:
        """Return the names of what lies beside the rows."""
        return {f.name for f in self.folder.iterdir()} - {"rows.parquet", "state"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A registry with two versions of which the first is champion, and the first's bundle."""
    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(state))
        bundles = [untrained(CONTRACT, seed) for seed in (0, 1)]
        for bundle in bundles:
            register(CONTRACT, bundle, state)
        registry.client().set_registered_model_alias("small", "champion", "1")
    return state, bundles[0]


@pytest.fixture
def home(made: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("POLYCAST_HOME", str(made[0]))
    for name in ("BLOCK_CELLS", "PART_CELLS"):
        monkeypatch.setattr(working, name, 1)  # five small parts
    return Home(tmp_path, made[1])


def test_the_answers_are_the_bundles_in_the_order_of_the_rows(home: Home) -> None:
    found = home.predict(interval=0.9)
    written = pq.read_table(home.out)
    named = ["id", "time", "a", "b", "a_low", "b_low", "a_high", "b_high"]
    assert written.column_names == named
    assert written.select(["id", "time"]).equals(ROWS.select(["id", "time"]))
    own = home.bundle.predict(ROWS, levels=[0.9])
    assert own.intervals is not None
    for names, values in zip(
        (["a", "b"], ["a_low", "b_low"], ["a_high", "b_high"]),
        (own.mean, *own.intervals[0.9]), strict=True,
    ):  # fmt: skip
        got = np.stack([written[n].to_numpy() for n in names], axis=1)
        np.testing.assert_allclose(got, values, rtol=1e-5, atol=1e-5)
    assert (found.rows, found.written, found.invalid, found.resumed) == (5000, 5000, 0, 0)
    assert home.left() == {"answers.parquet"}


def test_the_file_says_units_and_who_answered(home: Home) -> None:
    home.predict(interval=0.9)
    schema = pq.read_schema(home.out)
    assert schema.field("a").metadata == {b"unit": b"K", b"description": b"warmth"}
    about = {b"unit": b"Pa", b"description": b"lower end of the 0.9 interval of b"}
    assert schema.field("b_low").metadata == about
    assert schema.metadata == {
        b"polycast.dataset": b"small",
        b"polycast.model": b"small",
        b"polycast.version": b"1",
        b"polycast.snapshot": b"0123",
        b"polycast.interval": b"0.9",
    }


def test_a_version_answers_that_is_named(home: Home) -> None:
    champion = home.predict()
    first = pq.read_table(home.out)
    other = home.predict(version="2")
    assert (champion.version, other.version) == ("1", "2")
    assert not first["a"].equals(pq.read_table(home.out)["a"])


def test_a_version_of_another_polycast_is_refused_in_words(home: Home) -> None:
    file = registry.contract_file(CONTRACT.registered_model, "2")
    assert file is not None
    before = file.read_text("utf-8")
    later = json.loads(before) | {"moonphase": "full"}
    try:
        file.write_text(json.dumps(later), "utf-8")
        with pytest.raises(WrongRequest, match=r"another Polycast, .*: moonphase: expected "):
            home.predict(version="2")
    finally:
        file.write_text(before, "utf-8")
    assert not home.out.exists()


def test_a_folder_is_read_file_by_file_in_order_of_names(home: Home) -> None:
    folder = home.folder / "many"
    folder.mkdir()
    for i in (2, 0, 1):
        pq.write_table(ROWS.slice(i * 1000, 1000), folder / f"{i}.parquet")
    (folder / "_notes.parquet").write_text("no Parquet", "utf-8")
    predict_rows(CONTRACT, Request(str(folder), str(home.out)))
    assert pq.read_table(home.out)["id"].to_pylist() == list(range(3000))


def test_no_rows_give_a_file_of_no_rows(home: Home) -> None:
    assert home.predict(ROWS.slice(0, 0)).written == 0
    assert pq.read_table(home.out).column_names == ["id", "time", "a", "b"]


def broken() -> pa.Table:
    """Return rows of which 3, 4, 2000 and 4999 are not what the model was made for."""
    x, z, place = (ROWS[c].to_pylist() for c in ("x", "z", "place"))
    x[3], z[3], z[4], place[2000], z[4999] = 51.0, 1001.0, float("inf"), "elsewhere", 1002.0
    rows = replaced(replaced(replaced(ROWS, "x", x), "z", z), "place", place)
    return rows.select(ROWS.column_names)


WRONG = {
    3: ["x: expected between -50 and 50 m", "expected z <= 1000"],
    4: ["z: expected a number within ±3.4e+38"],
    2000: ["place: expected one of here, there"],
    4999: ["expected z <= 1000"],
}


def test_bad_rows_stop_it_with_column_value_and_row_and_nothing_is_written(home: Home) -> None:
    with pytest.raises(DataError) as caught:
        home.predict(broken())
    words = "x: expected between -50 and 50 m, came 51.0 in row 3 (id=3, time=2024-01-01 03:00:00)"
    assert words in str(caught.value)
    assert home.left() == set()
    assert not uses("small", "1")


def test_bad_rows_go_to_quarantine_whole_with_all_reasons(home: Home) -> None:
    rows = broken()
    found = home.predict(rows, invalid="quarantine")
    aside = pq.read_table(home.folder / "answers.quarantine.parquet")
    assert dict(zip(aside["_row"].to_pylist(), aside["_reasons"].to_pylist(), strict=True)) == WRONG
    assert (
        aside.drop_columns(["_row", "_reasons"])
        .sort_by("id")
        .equals(rows.take([*WRONG]).select(aside.column_names[1:-1]))
    )
    assert pq.read_table(home.out)["id"].to_pylist() == [i for i in range(5000) if i not in WRONG]
    assert (found.written, found.invalid) == (4996, 4)
    assert found.quarantine == str(home.folder / "answers.quarantine.parquet")
    assert {r.expectation: r.rows for r in found.reasons}["expected z <= 1000"] == 2


def test_a_later_run_without_bad_rows_takes_the_old_quarantine_away(home: Home) -> None:
    home.predict(broken(), invalid="quarantine")
    home.predict(invalid="quarantine")
    assert home.left() == {"answers.parquet"}


def test_bad_rows_are_answered_and_marked_where_that_is_asked(home: Home) -> None:
    rows = broken()
    found = home.predict(rows, invalid="mark")
    written = pq.read_table(home.out)
    marks = {i: mark for i, mark in enumerate(written["_invalid"].to_pylist()) if mark}
    assert marks == {row: "; ".join(words) for row, words in WRONG.items()}
    assert written["a"][3].as_py() == pytest.approx(
        home.bundle.predict(rows.slice(3, 1)).mean[0, 0], rel=1e-5
    )
    lacking = replaced(rows.slice(4, 1), "z", pa.array([None], pa.float64()))
    assert written["b"][4].as_py() == pytest.approx(
        home.bundle.predict(lacking).mean[0, 1], rel=1e-5
    ), "an infinite value counts as missing"
    assert (found.written, found.invalid, found.quarantine) == (5000, 4, None)


def test_a_row_whose_limits_contradict_each_other_is_a_bad_row(home: Home) -> None:
    contract = small_contract(
        targets={"a": {"unit": "K"}, "b": {"unit": "Pa"}},
        constraints=[{"holds": "a >= x", "enforce": True}, {"holds": "a <= z", "enforce": True}],
    )
    from tests.predicting import in_memory

    columns, answers = in_memory(contract, untrained(contract), ROWS.schema, "quarantine")
    rows = ROWS.select(columns.read.names).slice(0, 40)
    x, z = rows["x"].to_numpy(), rows["z"].to_numpy()
    found = answers(rows, 0)
    torn = np.flatnonzero(x > z)
    assert 0 < torn.size < 40
    assert found.aside["_row"].to_pylist() == torn.tolist()
    assert "limits that a prediction can hold" in found.aside["_reasons"][0].as_py()[0]
    assert not found.rows["a"].null_count


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.drop_columns(["angle"]), "angle: expected a column of that name, came none"),
        (
            lambda r: r.rename_columns([c + "s" * (c == "id") for c in r.column_names]),
            "id: expected a column of that name, came none; did you mean 'ids'",
        ),
        (lambda r: replaced(r, "x", ["1"] * len(r)), "x: expected numbers, came text such as '1'"),
    ],
)
def test_rows_that_the_model_cannot_read_are_told_by_column(
    home: Home, change: Any, words: str
) -> None:
    with pytest.raises(DataError, match="is not what small version 1 reads") as caught:
        home.predict(change(ROWS), invalid="quarantine")
    assert words in str(caught.value)
    assert home.left() == set()


def test_a_request_that_cannot_be_met_is_told(home: Home) -> None:
    with pytest.raises(WrongRequest, match=r"expected one of 0.5, .* came 0.3"):
        home.predict(interval=0.3)
    with pytest.raises(WrongRequest, match="small has no version 9"):
        home.predict(version="9")
    with pytest.raises(WrongRequest, match=r"expected an output named \*.parquet"):
        predict_rows(CONTRACT, Request("x", str(home.folder)))
    with pytest.raises(WrongRequest, match="is one of the files to predict"):
        predict_rows(CONTRACT, Request(home.file(ROWS), home.file(ROWS)))
    assert home.left() == set()


def test_input_that_is_no_parquet_is_told(home: Home) -> None:
    file = home.folder / "text.parquet"
    file.write_text("no Parquet", "utf-8")
    with pytest.raises(DataError, match=r"text\.parquet is no whole Parquet file"):
        predict_rows(CONTRACT, Request(str(file), str(home.out)))
    with pytest.raises(DataError, match="nothing is there"):
        predict_rows(CONTRACT, Request(str(home.folder / "none.parquet"), str(home.out)))
    (home.folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected files \*.parquet in .*empty, came none"):
        predict_rows(CONTRACT, Request(str(home.folder / "empty"), str(home.out)))


KILLED = """
import sys, os, signal, json
from tasks.predict import Request, predict_rows
from tasks.predict import work, parts
from data_contracts.contract import Contract
work.BLOCK_CELLS = work.PART_CELLS = 1
contract = Contract.model_validate_json(open(sys.argv[1]).read())
at, real = int(sys.argv[4]), parts.Parts.add
def add(self, number, part):
    if number == at:
        self.store.put(parts._name(parts.ASIDE, number), b"half a part")
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, number, part)
parts.Parts.add = add
predict_rows(contract, Request(sys.argv[2], sys.argv[3], invalid="quarantine"))
"""


def killed(home: Home, rows: pa.Table, part: int) -> None:
    """Predict in a process that is killed while it writes a part."""
    file = home.folder / "contract.json"
    file.write_text(CONTRACT.model_dump_json(), "utf-8")
    words = [str(file), home.file(rows), str(home.out), str(part)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        env=surroundings({"POLYCAST_HOME": os.environ["POLYCAST_HOME"]}),
        capture_output=True,
        text=True,
    )
    file.unlink()
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_killed_run_goes_on_with_its_version_and_no_row_twice_or_missing(home: Home) -> None:
    rows = broken()
    killed(home, rows, 2)
    assert home.left() == {"answers.parquet.parts"}
    request = Request(str(home.folder / "rows.parquet"), str(home.out), invalid="quarantine")
    client = registry.client()
    client.set_registered_model_alias("small", "champion", "2")
    try:
        found = predict_rows(CONTRACT, request)
    finally:
        client.set_registered_model_alias("small", "champion", "1")
    assert found.version == "1"
    assert 0 < found.resumed < 5000
    assert pq.read_table(home.out)["id"].to_pylist() == [i for i in range(5000) if i not in WRONG]
    aside = pq.read_table(home.folder / "answers.quarantine.parquet")
    assert aside["_row"].to_pylist() == [*WRONG]
    assert (found.rows, found.written, found.invalid) == (5000, 4996, 4)
    assert home.left() == {"answers.parquet", "answers.quarantine.parquet"}
    assert not uses("small", "1")
    assert predict_rows(CONTRACT, request).resumed == 0


def test_other_rows_or_another_question_begin_anew(home: Home) -> None:
    killed(home, ROWS, 3)
    other = Request(str(home.folder / "rows.parquet"), str(home.out), interval=0.9)
    assert predict_rows(CONTRACT, other).resumed == 0
    assert pq.read_table(home.out)["id"].to_pylist() == list(range(5000))
    assert home.left() == {"answers.parquet"}


def test_two_processes_do_not_write_the_same_file(home: Home) -> None:
    with Parts(str(home.out)).alone(), pytest.raises(WrongRequest, match="another process is"):
        home.predict()


def test_compiled_networks_answer_as_keras_does_for_any_number_of_rows(home: Home) -> None:
    rows = ROWS.slice(0, 37)
    for count in (1, 5, 37):
        some = rows.slice(0, count)
        np.testing.assert_allclose(
            compiled(home.bundle).predict(some).mean, home.bundle.predict(some).mean, rtol=1e-5
        )


def test_the_command_says_what_came_of_it_and_ends_with_its_code(home: Home) -> None:
    contract = home.folder / "small.yaml"
    contract.write_text(
        yaml.safe_dump(CONTRACT.model_dump(mode="json", exclude_unset=True)), "utf-8"
    )
    file = home.file(broken())
    words = ["predict", str(contract), file, str(home.out)]
    state = {"POLYCAST_HOME": os.environ["POLYCAST_HOME"]}
    stopped = polycast(home.folder, *words, **state)
    assert (stopped.returncode, stopped.stdout) == (4, "")
    assert (
        "polycast: 4 of rows 0 to 4999 are not what small version 1 was made for" in stopped.stderr
    )
    marked = polycast(home.folder, *words, "--invalid", "quarantine", "--interval", "0.9", **state)
    assert (marked.returncode, marked.stderr) == (0, "")
    assert "4,996 rows by small version 1, with intervals of 0.9" in marked.stdout
    assert "quarantined  2 rows: expected z <= 1000" in marked.stdout
    unknown = polycast(home.folder, *words, "--invalid", "drop", **state)
    assert unknown.returncode == 2
    assert "expected one of stop, quarantine, mark" in unknown.stderr
