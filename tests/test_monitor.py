"""A champion on recent rows: drift of what goes in, decay of what comes out, and who is told."""

import re
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from data_contracts.contract import Contract
from tasks import registry
from tasks.champion_drift import champion_drift
from tasks.drift import drift
from tasks.errors import DataError
from tasks.histograms import reference
from tasks.learning.bundle import Bundle, load_bundle, save_bundle
from tasks.monitor import watch
from tasks.monitor.found import Watch
from tasks.monitor.words import watch_markdown
from tasks.records import Fold, Score, Scores, Shards, Snapshot, Verdict
from tasks.seen import write_seen
from tasks.storage import root_storage
from tasks.uses import Use, uses
from tests.builders import CANDIDATE, CHECKED, replaced, small_contract, small_rows
from tests.predicting import register, untrained
from tests.walk import polycast

COUNT = 2_000
ERROR = {"a": 2.0, "b": 3.0}
"""What the champion's error on its test rows is said to have been."""
CONTRACT = small_contract(monitoring={"window": "20d"})
TRAINED = small_rows(COUNT, seed=1)


@dataclass(frozen=True)
class Home:
    """A registry with a champion of known errors, and a storage root."""

    folder: Path
    bundle: Bundle

    def rows(self, seed: int = 2, **changes: Any) -> pa.Table:
        """Return later rows whose truths differ from what is predicted by as much as recorded."""
        rows = small_rows(480, seed)
        start = np.datetime64("2024-06-01T00", "us")
        rows = replaced(rows, "time", start + np.arange(480) * np.timedelta64(1, "h"))
        rows = replaced(rows, "id", np.arange(480) + COUNT)
        for name, values in changes.items():
            rows = replaced(rows, name, values)
        return self.with_truths(rows)

    def with_truths(self, rows: pa.Table, **times: float) -> pa.Table:
        """Return rows with truths that differ by `times` the error that was recorded."""
        noise = np.random.default_rng(0)
        mean = self.bundle.predict(rows).mean
        for i, (name, error) in enumerate(ERROR.items()):
            size = error * times.get(name, 1.0)
            rows = replaced(rows, name, mean[:, i] + size * noise.normal(size=len(rows)))
        return rows

    def watch(self, rows: pa.Table, since: datetime | None = None) -> Watch:
        """Watch the champion on a snapshot of rows."""
        with root_storage().write("recent") as job:
            pq.write_table(rows, job.folder / "rows.parquet")
        types = {field.name: str(field.type) for field in rows.schema}
        snapshot = Snapshot(place="recent", rows=len(rows), columns=types, source="")
        return watch(CONTRACT, snapshot, since)


def with_reference(contract: Contract, bundle: Bundle, folder: Path) -> Bundle:
    pq.write_table(TRAINED, folder / "rows.parquet")
    splits = {"_row": TRAINED["_row"], "fold_0": ["train"] * COUNT}
    pq.write_table(pa.table(splits), folder / "splits.parquet")
    files = folder / "rows.parquet", folder / "splits.parquet"
    types = {field.name: str(field.type) for field in TRAINED.schema}
    return replace(bundle, reference=reference(contract, types, *files, ["fold_0"], "20d"))


def verdict() -> Verdict:
    scores = [
        Score(fold=0, model="candidate", target=t, rows=5_000, mae=v / 2, rmse=v, r2=None, skill={})
        for t, v in ERROR.items()
    ]
    return Verdict(
        scores=Scores(candidate=CANDIDATE, scores=tuple(scores)), outcome="pass", rulings=()
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A registry with a champion that keeps a reference, a verdict and what it has seen."""
    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(state))
        bundle = with_reference(CONTRACT, untrained(CONTRACT), state)
        register(CONTRACT, bundle, state)
        register(CONTRACT, replace(bundle, reference=None), state)
        first = registry.bundle_folder("small", "1").parent
        (first / registry.VERDICT).write_text(verdict().model_dump_json(), "utf-8")
        write_seen(CONTRACT, [TRAINED], first / registry.SEEN)
    return state, bundle


@pytest.fixture
def home(made: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("POLYCAST_HOME", str(made[0]))
    registry.client().set_registered_model_alias("small", "champion", "1")
    return Home(*made)


def test_rows_like_the_train_rows_show_neither_drift_nor_decay(home: Home) -> None:
    found = home.watch(home.rows())
    assert (found.version, found.rows) == ("1", 480)
    assert {c.column for c in found.columns} == {"a", "b", "x", "z", "place", "angle"}
    assert not [c.column for c in found.drifted if not c.target]
    assert not found.decayed
    for target in found.targets:
        assert target.recorded == ERROR[target.target]
        assert target.ratio == pytest.approx(1, abs=0.1)
        assert (target.low or 0) < 1 < (target.high or 0)


def test_a_feature_that_moves_by_half_a_deviation_has_drifted(home: Home) -> None:
    rows = home.rows()
    found = home.watch(home.rows(x=np.array(rows["x"].to_numpy()) + 0.5 * 2 + 1))
    assert [c.column for c in found.drifted if not c.target] == ["x"]
    [x] = [c for c in found.drifted if c.column == "x"]
    assert x.words.startswith("x: ")
    assert "distance" in x.words


def test_a_target_whose_error_grows_by_half_has_decayed_alone(home: Home) -> None:
    found = home.watch(home.with_truths(home.rows(), a=1.5))
    assert [t.target for t in found.decayed] == ["a"]
    [a] = found.decayed
    assert a.ratio == pytest.approx(1.5, abs=0.15)
    assert (a.low or 0) > 1
    assert f"{a.ratio:.2f} times the 2 K of the test rows" in a.words
    assert "| a K |" in watch_markdown(found)
    assert "| decayed |" in watch_markdown(found)


def test_truths_that_have_not_come_are_told_and_are_no_drift(home: Home) -> None:
    found = home.watch(replaced(home.rows(), "a", np.full(480, np.nan)))
    [a] = [t for t in found.targets if t.target == "a"]
    assert (a.rows, a.error, a.note) == (0, None, "no truth has come yet")
    assert "a" not in {c.column for c in found.drifted}


def test_rows_that_the_champion_has_seen_are_not_recent(home: Home) -> None:
    everything = pa.concat_tables([TRAINED, home.rows().cast(TRAINED.schema)])
    found = home.watch(everything, since=datetime(2024, 1, 1, tzinfo=UTC))
    assert found.rows == 480


def test_the_window_reaches_back_from_the_newest_row_and_since_takes_its_place(home: Home) -> None:
    rows = home.rows()
    day = datetime(2024, 6, 15, tzinfo=UTC)
    found = home.watch(rows, since=day)
    assert (found.rows, found.since, found.until) == (144, "2024-06-15", "2024-06-20T23:00:00Z")
    with pytest.raises(DataError, match="no row of small is new to the champion since 2024-07-01"):
        home.watch(rows, since=datetime(2024, 7, 1, tzinfo=UTC))


def test_a_column_that_the_champion_needs_and_rows_lost_is_named(home: Home) -> None:
    with pytest.raises(DataError, match="the champion needs z, which the rows of small have no"):
        home.watch(home.rows().drop_columns(["z"]))


def test_a_champion_without_a_reference_says_so(home: Home) -> None:
    registry.client().set_registered_model_alias("small", "champion", "2")
    found = home.watch(home.rows())
    assert found.columns == ()
    assert "small version 2 keeps no reference" in found.note
    assert all("does not say its error" in t.note for t in found.targets)


def test_the_version_is_held_while_it_is_watched(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Use] = []

    def looking(*_: Any) -> Any:
        held.extend(uses("small", "1"))
        return ()

    monkeypatch.setattr("tasks.monitor._decayed", looking)
    home.watch(home.rows())
    assert [use.what for use in held] == ["monitor small"]
    assert not uses("small", "1")


def test_a_bundle_keeps_its_reference(home: Home, tmp_path: Path) -> None:
    save_bundle(home.bundle, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "reference.json").exists()
    assert load_bundle(tmp_path / "bundle").reference == home.bundle.reference


def test_the_command_shows_what_has_moved_in_two_tables(home: Home, tmp_path: Path) -> None:
    rows = home.rows()
    rows = home.rows(x=np.array(rows["x"].to_numpy()) + 2)
    pq.write_table(home.with_truths(rows, a=1.6).drop_columns(["_row"]), tmp_path / "rows.parquet")
    (tmp_path / "data_contracts").mkdir()
    file = tmp_path / "data_contracts" / "small.yaml"
    file.write_text(_as_yaml(CONTRACT, tmp_path / "rows.parquet"), "utf-8")
    where = {"POLYCAST_HOME": str(home.folder), "COLUMNS": "130"}
    found = polycast(tmp_path, "monitor", "small", **where)
    assert found.returncode == 0, found.stderr
    assert re.search(r"\n x .+ drifted: ", found.stdout)
    assert re.search(r"\n a K .+ decayed", found.stdout)
    assert "small version 1 on 480 rows since 2024-05-31T23:00:00Z" in found.stdout


def test_a_day_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    wrong = polycast(tmp_path, "monitor", "nyc_weather", "--since", "yesterday")
    assert wrong.returncode == 2
    assert "--since yesterday: expected a day such as 2013-06-01" in wrong.stderr


def test_a_candidates_test_rows_are_held_against_what_the_champion_was_trained_on(
    home: Home, tmp_path: Path
) -> None:
    rows = home.rows()
    # All of its own rows have moved: its train rows would not tell.
    rows = replaced(rows, "x", np.array(rows["x"].to_numpy()) + 4)
    pq.write_table(rows, tmp_path / "rows.parquet")
    splits = {"_row": rows["_row"], "fold_0": ["train"] * 240 + ["test"] * 240}
    pq.write_table(pa.table(splits), tmp_path / "splits.parquet")
    types = {field.name: str(field.type) for field in rows.schema}
    checked = CHECKED.model_copy(update={"snapshot": Snapshot(rows=480, columns=types, source="")})
    fold = Fold(index=0, rows={"train": 240, "test": 240}, inputs=1)
    shards = Shards(checked=checked, folds=(fold,), targets=("a", "b"))
    files = tmp_path / "rows.parquet", tmp_path / "splits.parquet"
    found = champion_drift(CONTRACT, shards, *files, "1")
    assert found is not None
    drifts = {d.column: d for d in found}
    assert drifts["x"].reading == "large"
    assert drifts["x"].unit == "m"
    assert drifts["x"].distance is not None
    assert drifts["z"].distance is not None
    assert drifts["x"].distance > 5 * drifts["z"].distance
    assert drifts["x"].missing == pytest.approx(0.012)
    assert drifts["z"].reading in ("within chance", "little")
    assert {d.column: d for d in drift(CONTRACT, shards, *files)}["x"].reading != "large"
    assert champion_drift(CONTRACT, shards, *files, "2") is None  # it keeps no histograms
    assert champion_drift(CONTRACT, shards, *files, None) is None


def _as_yaml(contract: Contract, rows: Path) -> str:
    """Return a contract as a file in YAML, with the recipe that it began with."""
    content = contract.model_dump(mode="json", exclude_unset=True)
    content["source"]["path"] = str(rows)
    content["recipe"] = {"base": "shared_128_64", "hidden": [16]}
    return yaml.safe_dump(content)
