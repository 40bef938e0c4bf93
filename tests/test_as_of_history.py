"""History made as of days: compared with what is as old as that, kept, and never champion."""

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from flows.display.runs import run_table, show_run
from flows.plan import finished
from tasks import evaluate, ingest, judge, preprocess, publish, registry, report, train, validate
from tasks.evaluate.models import bundle_model
from tasks.records import Publication, Run
from tasks.seen import read_seen
from tasks.storage import root_storage
from tests.walk import DATASET, polycast, write_contract

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
"""MLflow's tables ask SQLAlchemy for it as they are read."""


def register(model: str, tags: dict[str, str]) -> str:
    """Register a version that is nothing but tags; return its number."""
    client = registry.client()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    complete = {registry.COMPLETE_TAG: "true", registry.DATASET_TAG: model}
    made = client.create_model_version(model, "nowhere", tags=complete | tags)
    return str(made.version)


def published(candidate: str, until: str, **more: str) -> dict[str, str]:
    return {registry.CANDIDATE_TAG: candidate, registry.UNTIL_TAG: until} | more


def kept(candidate: str, as_of: str, until: str, **more: str) -> dict[str, str]:
    return published(candidate, until, **more) | {registry.AS_OF_TAG: as_of}


def rival(as_of: str, candidate: str = "mine") -> str | None:
    when = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    found = registry.opponent_as_of("small", candidate, "small", when)
    return found.version if found else None


def test_where_nothing_was_ever_registered_there_is_no_opponent() -> None:
    assert rival("2024-01-05") is None
    assert not list(Path(registry.local_home()).glob("registry/*"))


def test_a_version_published_on_later_rows_is_no_opponent() -> None:
    register("small", published("a", "2024-01-05"))
    assert rival("2024-01-05") is None
    assert rival("2024-01-05T00:00:01") == "1"


def test_a_version_kept_as_of_a_later_day_is_no_opponent() -> None:
    register("small", kept("a", "2024-01-06", "2024-01-03T23:00:00Z"))
    assert rival("2024-01-05") is None
    assert rival("2024-01-06") == "1"


def test_the_latest_rows_come_first_and_then_the_highest_version() -> None:
    register("small", kept("a", "2024-01-04", "2024-01-03T23:00:00Z"))
    register("small", published("b", "2024-01-03T23:00:00Z"))
    register("small", kept("c", "2024-01-03", "2024-01-02T23:00:00Z"))
    for i in range(8):  # version 10 comes after version 9
        register("small", published(f"d{i}", "2024-01-02T23:00:00Z"))
    assert rival("2024-01-05") == "2"
    assert rival("2024-01-05", candidate="b") == "1"
    assert rival("2024-01-03") == "11"


@pytest.mark.parametrize(
    "tags",
    [
        {registry.CANDIDATE_TAG: "a"},
        kept("a", "2024-01-04", "2024-01-03T23:00:00Z") | {registry.DATASET_TAG: "other"},
        published("a", "2024-01-03") | {registry.COMPLETE_TAG: "false"},
        published("mine", "2024-01-03"),
    ],
    ids=["says not how old it is", "of another dataset", "not complete", "the candidate itself"],
)
def test_a_version_that_cannot_be_compared_is_no_opponent(tags: dict[str, str]) -> None:
    register("small", tags)
    assert rival("2024-01-09") is None


def retrained(contract: Contract) -> Run:
    """Take a contract through all stages in this process, as the retrain flow does, but for the
    report's page."""
    from tasks.validate.checking import check_rows

    fetch = root_storage().fetch
    source = ingest.locate(contract)
    snapshot = ingest.STAGE.run(
        contract,
        source.identity(),
        work=lambda folder: ingest.take_snapshot(contract, source, folder),
    )
    rows = fetch(snapshot.place) / "rows.parquet"
    checked = validate.STAGE.run(
        contract, snapshot.hash, work=lambda f: check_rows(contract, snapshot, rows, f)
    )
    aside = fetch(checked.place) / "quarantine.parquet"
    shards = preprocess.STAGE.run(
        contract,
        checked.hash,
        work=lambda f: preprocess.write_shards(contract, checked, rows, aside, f),
    )
    candidate = train.STAGE.run(
        contract,
        shards.hash,
        work=lambda f: train.train_candidate(contract, shards, fetch(shards.place), f),
    )
    scores = evaluate.compare(contract, candidate)
    verdict = judge.reach_verdict(contract, scores, datetime.now(UTC))
    publication = publish.STAGE.run(
        contract,
        verdict.hash,
        work=lambda _: publish.publish_verdict(contract, candidate, verdict),
        holds=publish.stands,
    )
    name = publication.hash[:8]
    run = Run(
        id=name,
        dataset=contract.dataset,
        outcome="published" if publication.version else "blocked",
        publication=publication,
    )
    place = f"runs/{contract.dataset}/{name}"
    return report.STAGE.run(contract, publication.hash, place=place, work=lambda _: run)


@dataclass(frozen=True)
class History:
    """Runs in order, each with the aliases as they stood after it."""

    home: Path
    contracts: list[Contract] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    aliases: list[dict[str, str]] = field(default_factory=list)

    def run(self, file: Path, *overrides: str) -> None:
        contract = load_contract(str(file), overrides)
        self.contracts.append(contract)
        self.runs.append(retrained(contract))
        found = registry.client().get_registered_model(DATASET).aliases
        self.aliases.append({name: str(number) for name, number in found.items()})

    @property
    def publications(self) -> list[Publication]:
        return [run.publication for run in self.runs]


NOW, FIRST, SECOND, THIRD, LATER, BEYOND, BLOCKED = range(7)
"""The runs of the history below."""
DAYS = {FIRST: "2013-02-01", SECOND: "2013-02-12", THIRD: "2013-02-22"}
PASSES = {"rules": [{"rule": "absolute", "metric": "rmse", "at_most": 1e6}]}
FAILS = "gate.rules=[{rule: absolute, metric: rmse, at_most: 0.001}]"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A champion of two months, three days of history, and a later champion."""
    home = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # MLflow and DuckDB use what pandas has deprecated; the command keeps that off the terminal.
        warnings.simplefilter("ignore")
        patch.setenv("POLYCAST_HOME", str(home))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.delenv(name, raising=False)  # MLflow sets them as it is used
        expected = {"tolerance": 0.01, "table": [{"check": "row_count", "min": 1000}]}
        recipe = {"base": "shared_128_64", "hidden": [16], "batch_size": 256, "epochs": 1}
        file = write_contract(home, gate=PASSES, expectations=expected, recipe=recipe)
        history = History(home)
        history.run(file)
        for day in DAYS.values():
            history.run(file, f"source.as_of={day}")
        history.run(file, "recipe.seed=1")
        history.run(file, "recipe.seed=1", "source.as_of=2013-04-01")
        history.run(file, f"source.as_of={DAYS[THIRD]}", FAILS)
        yield history


@pytest.fixture
def history(made: History, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("POLYCAST_HOME", str(made.home))
    return made


def test_the_champion_stays_whatever_is_made_as_of_a_day(history: History) -> None:
    aliases = history.aliases
    assert aliases[NOW : THIRD + 1] == [{"champion": "1"}] * 4
    assert aliases[LATER:] == [{"champion": "5", "previous": "1"}] * 3


def test_each_day_is_compared_with_the_day_before_and_none_with_the_champion(
    history: History,
) -> None:
    compared = [history.publications[i].verdict.scores.champion for i in DAYS]
    assert compared == [None, "2", "3"]
    assert [history.publications[i].version for i in DAYS] == ["2", "3", "4"]


def test_a_later_run_is_compared_with_the_champion_and_not_with_history(
    history: History,
) -> None:
    later = history.publications[LATER]
    assert (later.verdict.scores.champion, later.version) == ("1", "5")


def test_a_published_version_on_older_rows_is_what_a_day_is_compared_with(
    history: History,
) -> None:
    assert history.publications[BEYOND].verdict.scores.champion == "1"


def test_a_candidate_of_no_later_rows_is_a_version_of_its_own(history: History) -> None:
    later, beyond = (history.publications[i] for i in (LATER, BEYOND))
    assert later.verdict.scores.candidate.hash == beyond.verdict.scores.candidate.hash
    assert (later.version, beyond.version) == ("5", "6")
    assert later.tracking_run != beyond.tracking_run


def test_every_run_is_up_to_date_when_it_is_repeated(history: History) -> None:
    repeated = (FIRST, SECOND, THIRD, LATER, BEYOND, BLOCKED)
    found = [finished(history.contracts[i]) for i in repeated]
    assert found == [history.runs[i] for i in repeated]
    assert retrained(history.contracts[SECOND]) == history.runs[SECOND]


def test_a_day_whose_version_is_gone_is_not_up_to_date(made: History) -> None:
    assert not publish.stands(made.publications[SECOND])  # in this test's own empty registry
    register(DATASET, {})
    assert not publish.stands(made.publications[SECOND])


def test_versions_say_how_old_they_are(history: History) -> None:
    wanted = f"name = '{DATASET}'"
    tags = {v.version: v.tags for v in registry.versions(registry.client(), wanted)}
    assert [tags[n].get(registry.AS_OF_TAG) for n in "12345"] == [None, *DAYS.values(), None]
    assert tags["1"][registry.UNTIL_TAG] == "2013-02-28T23:00:00Z"
    assert tags["3"][registry.UNTIL_TAG] == "2013-02-11T23:00:00Z"


def test_the_mlflow_run_of_a_day_is_tagged_with_it(history: History) -> None:
    runs = [registry.client().get_run(p.tracking_run) for p in history.publications]
    days = [run.data.tags.get(registry.AS_OF_TAG) for run in runs]
    assert days == [None, *DAYS.values(), None, "2013-04-01", DAYS[THIRD]]


def test_a_kept_version_answers_raw_rows(history: History) -> None:
    rows = pq.read_table(_files(history.runs[FIRST])[0])
    answers = bundle_model(registry.bundle_folder(DATASET, "3"), ["temp_ahead"])(rows)
    assert answers.mean.shape == (len(rows), 1)


def test_a_version_keeps_its_contract_and_the_keys_that_it_has_seen(history: History) -> None:
    file = registry.contract_file(DATASET, "3")
    assert file is not None
    contract = Contract.model_validate_json(file.read_text("utf-8"))
    assert contract == history.contracts[SECOND]
    seen = registry.seen_file(DATASET, "3")
    assert seen is not None
    shards = history.publications[SECOND].verdict.scores.candidate.shards
    counts = shards.folds[0].rows
    assert read_seen(seen).size == sum(counts[s] for s in ("train", "validation", "calibration"))


def test_a_version_of_before_there_were_such_files_keeps_none(history: History) -> None:
    # MLflow's model of the first version, without them.
    source = registry.bundle_folder(DATASET, "1").parents[1]
    old = history.home / "old"
    shutil.copytree(source, old)
    for name in (registry.CONTRACT, registry.SEEN):
        (old / "artifacts" / name).unlink()
    client = registry.client()
    client.create_registered_model("old")
    client.create_model_version("old", old.as_uri())
    assert registry.contract_file("old", "1") is None
    assert registry.seen_file("old", "1") is None
    assert registry.bundle_folder("old", "1").is_dir()


def _files(run: Run) -> list[Path]:
    """Return every file of a run that holds rows, the snapshot's first."""
    scores = run.publication.verdict.scores
    checked = scores.candidate.shards.checked
    places = (checked.snapshot.place, checked.place, scores.place)
    files = [f for p in places for f in sorted(root_storage().fetch(p).glob("*.parquet"))]
    return [f for f in files if "_row" in pq.read_schema(f).names]


@pytest.mark.parametrize("which", DAYS)
def test_no_row_of_the_day_or_later_is_in_any_file_of_a_run(history: History, which: int) -> None:
    for file in _files(history.runs[which]):
        rows = pq.read_table(file)
        times = rows["time" if "time" in rows.column_names else "time_hour"]
        day = pa.scalar(datetime.fromisoformat(DAYS[which]).replace(tzinfo=UTC), times.type)
        assert not pc.any(pc.greater_equal(times, day)).as_py()


def shown(history: History, which: int) -> str:
    from rich.console import Console

    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        show_run(console, history.contracts[which], history.runs[which], {})
    return capture.get()


def test_what_is_kept_is_shown_with_its_day_and_its_address(history: History) -> None:
    text = shown(history, SECOND)
    line = f"Kept {DATASET} version 3, as of 2013-02-12: models:/{DATASET}/3; the champion stays."
    assert line in text
    assert "version 2" in text
    assert "Published" not in text
    assert f"Published {DATASET} version 5: models:/{DATASET}@champion" in shown(history, LATER)


def test_a_day_that_is_blocked_keeps_nothing(history: History) -> None:
    blocked = history.publications[BLOCKED]
    assert blocked.version is None
    assert blocked.summary.startswith("nothing kept; recorded as MLflow run ")
    assert "Blocked: nothing was kept; the champion stays." in shown(history, BLOCKED)


def test_a_publication_says_what_was_kept_and_that_the_champion_stays(history: History) -> None:
    kept_as = f"{DATASET} kept as version 3, as of 2013-02-12; the champion stays"
    assert history.publications[SECOND].summary == kept_as


def test_the_last_runs_mark_those_of_a_day(history: History) -> None:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(run_table(history.runs, {}))
    lines = capture.get().splitlines()
    assert sum("kept, as of 2013-02-12" in line for line in lines) == 1
    assert sum("blocked, as of 2013-02-22" in line for line in lines) == 1
    assert sum("published" in line for line in lines) == 2


def test_records_written_before_there_were_days_are_read_as_of_now(history: History) -> None:
    content = history.runs[NOW].model_dump(mode="json")
    del content["publication"]["verdict"]["scores"]["as_of"]
    assert Run.model_validate(content) == history.runs[NOW]


def test_a_user_retrains_as_of_a_day_by_the_command(tmp_path: Path) -> None:
    expected = {"tolerance": 0.01, "table": [{"check": "row_count", "min": 1000}]}
    write_contract(tmp_path, expectations=expected)
    words = ("retrain", DATASET, "--set", "source.as_of=2013-02-15")
    result = polycast(tmp_path, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Kept {DATASET} version 1, as of 2013-02-15: models:/{DATASET}/1" in result.stdout
    assert "no version is as old as 2013-02-15 yet" in result.stdout
    again = polycast(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert "Already up to date" in again.stdout
    assert "the champion stays" in again.stdout
    told = polycast(tmp_path, "show", DATASET).stdout
    assert "champion: none yet" in told
    assert "kept, as of 2013-02-15" in told
