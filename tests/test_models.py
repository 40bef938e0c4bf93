"""Versions back and forth: listed, promoted, rolled back, compared, trained again, pruned."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from data_contracts.contract import Contract
from flows.cli import app
from flows.reproducing import reproduce
from flows.versions import show_reproduction
from tasks import approvals, publish, registry
from tasks.errors import DataError
from tasks.journal import ChampionMoved, move, moves
from tasks.models import packages, pruning
from tasks.models.entries import Entry, entries
from tasks.models.moving import promote, rollback
from tasks.models.pruning import prune
from tasks.registry_database import make_database
from tasks.storage import root_storage
from tasks.uses import uses, using
from tests.builders import small_contract, small_rows
from tests.publishing import judged, prepare, published, trained, untrained
from tests.walk import DATASET, polycast, surroundings, write_contract

CONTRACT = small_contract()
KEEP = small_contract(publishing={"keep": {"versions": 1, "days": 0}})

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # MLflow's, as it is imported


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an empty registry, which takes seconds to make."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    make_database(file)
    return file


@pytest.fixture(autouse=True)
def _registry(empty: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "registry"
    folder.mkdir(parents=True)
    shutil.copy(empty, folder)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, in a folder with the small contract."""
    folder = tmp_path / "data_contracts"
    folder.mkdir()
    content = CONTRACT.model_dump(mode="json", exclude_defaults=True) | {"format": 1}
    (folder / "small.yaml").write_text(yaml.safe_dump(content), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, [str(w) for w in words])


def add(count: int = 1, **tags: str) -> None:
    """Register versions that name no files."""
    client = registry.client()
    if not client.search_registered_models("name = 'small'"):
        client.create_registered_model("small")
    for _ in range(count):
        made = client.create_model_version("small", "file:///nowhere")
        own = {registry.COMPLETE_TAG: "true", registry.CANDIDATE_TAG: f"c{made.version}"}
        for tag, value in (own | {f"polycast.{k}": v for k, v in tags.items()}).items():
            client.set_model_version_tag("small", made.version, tag, value)


def champions(*numbers: str) -> None:
    """Publish versions one after another."""
    for before, number in zip((None, *numbers), numbers, strict=False):
        move("small", number, before=before, kind="publish", by="test")


def aliases() -> dict[str, str]:
    return {k: str(v) for k, v in registry.client().get_registered_model("small").aliases.items()}


def tags(number: str) -> dict[str, str]:
    return dict(registry.client().get_model_version("small", number).tags)


def age(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Have pruning think that so many days have passed."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=days)

    monkeypatch.setattr(pruning, "datetime", Later)


# Promote and roll back


def test_a_promoted_version_is_champion_and_the_one_before_is_previous(
    run: Callable[..., Result],
) -> None:
    add(2)
    champions("1")
    done = run("promote", "small", 2, "--reason", "the storm is over")
    assert done.exit_code == 0, done.output
    assert "Champion: small version 2, in place of version 1" in done.output
    assert aliases() == {"champion": "2", "previous": "1"}
    assert (moves("small")[-1].kind, moves("small")[-1].reason) == ("promote", "the storm is over")
    again = run("promote", "small", 2)
    assert again.exit_code == 0
    assert "version 2 is champion already" in again.output
    assert len(moves("small")) == 2


@pytest.mark.parametrize(
    ("tag", "value", "code", "words"),
    [
        ("complete", "false", 2, "version 2 is not complete"),
        ("held", "onnx: 0.2 K off", 4, "is held, since it failed its proof: onnx"),
        ("as_of", "2024-01-01", 4, "was made as of 2024-01-01"),
    ],
)
def test_a_version_that_cannot_be_champion_is_refused_with_the_reason(
    run: Callable[..., Result], tag: str, value: str, code: int, words: str
) -> None:
    add(1)
    add(1, **{tag: value})
    champions("1")
    for done in (run("promote", "small", 2), run("rollback", "small", 2, "--reason", "x")):
        assert done.exit_code == code, done.output
        assert words in done.stderr
    assert aliases() == {"champion": "1"}
    assert registry.ROLLED_BACK_TAG not in tags("1")


def test_a_rollback_goes_to_previous_and_keeps_who_and_why(run: Callable[..., Result]) -> None:
    add(2)
    champions("1", "2")
    done = run("rollback", "small", "--reason", "wind is off")
    assert done.exit_code == 0, done.output
    assert aliases() == {"champion": "1", "previous": "2"}
    kept = json.loads(tags("2")[registry.ROLLED_BACK_TAG])
    last = moves("small")[-1]
    assert (kept["reason"], last.reason, last.kind) == ("wind is off", "wind is off", "rollback")
    assert kept["by"] == last.by
    assert last.by
    shown = run("models", "small").output
    assert f"rolled back by {last.by}: wind is off" in shown


def test_a_rollback_goes_to_any_version_and_asks_why(run: Callable[..., Result]) -> None:
    add(3)
    champions("1", "2", "3")
    done = CliRunner().invoke(app, ["rollback", "small", "1"], input="drift\n")
    assert done.exit_code == 0, done.output
    assert aliases() == {"champion": "1", "previous": "3"}
    assert moves("small")[-1].reason == "drift"


def test_a_second_rollback_does_not_go_forth_again(run: Callable[..., Result]) -> None:
    add(2)
    champions("1", "2")
    rollback("small", None, "ann", "wind is off")
    done = run("rollback", "small", "--reason", "y")
    assert done.exit_code == 2
    assert "previous is version 2, which was rolled back by ann: wind is off" in done.stderr
    assert aliases()["champion"] == "1"


def test_without_a_version_before_a_rollback_asks_for_one(run: Callable[..., Result]) -> None:
    add(1)
    champions("1")
    done = run("rollback", "small", "--reason", "y")
    assert done.exit_code == 2
    assert "name the version to go back to" in done.stderr
    assert "there are: 1" in run("rollback", "small", 9, "--reason", "y").stderr


def test_a_rollback_that_comes_too_late_leaves_no_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    add(3)
    champions("1", "2")

    def moved(*_: object, **__: object) -> None:
        raise ChampionMoved("version 3 is")

    monkeypatch.setattr("tasks.models.moving.move", moved)
    with pytest.raises(ChampionMoved):
        rollback("small", None, "ann", "x")
    assert registry.ROLLED_BACK_TAG not in tags("2")


def test_a_promotion_forgets_that_a_version_was_rolled_back() -> None:
    add(2)
    champions("1", "2")
    rollback("small", None, "ann", "x")
    promote("small", "2", "bob")
    assert registry.ROLLED_BACK_TAG not in tags("2")
    assert aliases()["champion"] == "2"


def test_no_retrain_moves_the_alias_to_a_version_that_was_rolled_back_meanwhile() -> None:
    add(2)
    champions("1", "2")
    rollback("small", None, "ann", "x")
    with pytest.raises(ChampionMoved, match="version 2 was rolled back meanwhile"):
        move("small", "2", before="1", kind="publish", by="retrain")
    assert aliases()["champion"] == "1"


def test_neither_command_loads_what_a_prediction_needs(tmp_path: Path) -> None:
    write_contract(tmp_path)
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom flows.cli import app\n"
        "from tasks import registry\n"
        "done = CliRunner().invoke(app, ['rollback', 'nyc_slice', '--reason', 'x'])\n"
        "client = registry.client()\nassert done.exit_code == 2, done.output\n"
        "dear = {'prefect', 'tensorflow', 'keras', 'great_expectations', 'duckdb', 'matplotlib'}\n"
        "assert not dear & set(sys.modules), dear & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=surroundings({}), check=True)


# Real versions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root with two published versions: one that was trained, and one by a contract of
    another seed and width."""
    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYCAST_HOME", str(state))
        shards = prepare(CONTRACT, small_rows())
        published(CONTRACT, trained(CONTRACT, shards, "first"))
        published(other(hidden=[8], seed=1), untrained(shards, "second"))
    return state


def other(**recipe: Any) -> Contract:
    """Return the contract with other options of the recipe."""
    own = {"base": "shared_128_64", "hidden": [16], "epochs": 3, "batch_size": 40}
    return small_contract(recipe=own | recipe)


@pytest.fixture
def home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYCAST_HOME", str(made))
    return made


def test_versions_are_listed_newest_first_with_errors_verdict_and_use(
    home: Path, run: Callable[..., Result]
) -> None:
    with using("small", "1", "serve"):
        done = run("models", "small")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if " pass " in line]
    assert ["2 champion" in lines[0], "1 previous" in lines[1]] == [True, True]
    assert "-50.0%" in lines[0]
    assert "no champion then" in lines[1]
    assert "complete; in use: serve (" in lines[1]


def test_where_there_are_no_versions_the_list_says_what_to_do(run: Callable[..., Result]) -> None:
    done = run("models", "small")
    assert done.exit_code == 0
    assert "No versions yet: polycast retrain small" in done.output


def test_two_versions_differ_in_contract_data_and_errors(
    home: Path, run: Callable[..., Result]
) -> None:
    done = run("diff", "small", 1, 2)
    assert done.exit_code == 0, done.output
    words = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "recipe.hidden [16] [8]" in words
    assert "recipe.seed 0 1" in words
    assert not [w for w in words if w.startswith("recipe.epochs")]
    assert "rows 200 200" in words
    assert "first row 2024-01-01 2024-01-01" in words
    assert "a K 1.000 1.000 +0.0%" in words
    assert "on the same test rows" in " ".join(words)
    assert run("diff", "small", 1, 9).exit_code == 2


def test_a_version_that_is_trained_again_is_the_same_to_the_bit(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reproduce(CONTRACT, "1")
    assert found.identical
    show_reproduction(found)
    shown = capsys.readouterr().out
    assert "The same: small version 1" in shown
    assert f"member 1: {found.members[0].weights:,} weights, all the same bits" in shown
    assert "made in the same environment" in shown
    assert len(entries(CONTRACT)) == 2


def test_a_version_that_is_not_the_same_says_by_how_much_and_which_packages_differ(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = packages.environment()
    there = {**now, "packages": {**now["packages"], "numpy": "9.9.9"}}
    monkeypatch.setattr(packages, "environment", lambda: there)
    monkeypatch.setattr(Entry, "contract", property(lambda _: other(seed=5)))
    found = reproduce(CONTRACT, "1")
    assert not found.identical
    show_reproduction(found)
    shown = capsys.readouterr().out
    assert "Not the same: small version 1" in shown
    assert f"the largest difference is {found.members[0].largest:.3g}" in shown
    assert "here 9.9.9" in shown


def test_a_version_whose_snapshot_is_gone_says_what_is_missing(home: Path) -> None:
    file = home / "snapshots" / "small" / "one" / "manifest.json"
    content = file.read_bytes()
    file.unlink()
    try:
        with pytest.raises(DataError, match="snapshot is not there any more") as caught:
            reproduce(CONTRACT, "1")
    finally:
        file.write_bytes(content)
    assert "snapshots/small/one" in str(caught.value)


def test_what_was_rolled_back_counts_as_rejected_until_it_is_promoted() -> None:
    shards = prepare(CONTRACT, small_rows())
    first, second = (untrained(shards, name) for name in ("first", "second"))
    published(CONTRACT, first)
    assert published(CONTRACT, second).version == "2"
    verdict = judged(second)
    rollback("small", None, "ann", "wind is off")
    assert judged(second).hash == verdict.hash  # nothing has changed for the gate
    settled = approvals.settle(CONTRACT, verdict)
    assert settled.decided == "rejected by ann: version 2 was rolled back: wind is off"
    assert approvals.find(CONTRACT, verdict) == settled
    made = publish.publish_verdict(CONTRACT, second, settled)
    assert (made.version, made.outcome) == (None, "rejected")
    assert aliases() == {"champion": "1", "previous": "2"}
    third = untrained(shards, "third")  # another candidate is published as ever
    assert approvals.settle(CONTRACT, judged(third)).outcome == "pass"
    promote("small", "2", "bob")
    assert approvals.settle(CONTRACT, verdict) == verdict
    assert publish.publish_verdict(CONTRACT, second, verdict).version == "2"


@pytest.mark.slow
def test_a_retrain_after_a_rollback_publishes_nothing_until_a_promotion(
    tmp_path: Path, api: str
) -> None:
    few = {"rules": [{"rule": "baseline", "baseline": "mean"}]}
    recipe = {"base": "shared_128_64", "hidden": [16], "batch_size": 256, "epochs": 1}
    write_contract(tmp_path, gate=few, recipe=recipe, evaluation={"baselines": ["mean"]})

    def run(*words: str) -> tuple[int, str]:
        done = polycast(tmp_path, *words, PREFECT_API_URL=api)
        return done.returncode, done.stdout + done.stderr

    wider = ("retrain", DATASET, "--set", "recipe.hidden=[32]")
    assert run("retrain", DATASET)[0] == 0
    assert run(*wider)[0] == 0
    assert run("rollback", DATASET, "--reason", "wind is off")[0] == 0
    code, said = run(*wider)
    assert code == 3, said
    assert "version 2 was rolled back: wind is off" in said
    assert "champion: version 1" in run("show", DATASET)[1]
    code, said = run(*wider)
    assert (code, "Still blocked" in said) == (3, True), said
    assert run("promote", DATASET, "2")[0] == 0
    code, said = run(*wider)
    assert (code, "Already up to date" in said) == (0, True), said
    assert run("reproduce", DATASET, "2")[0] == 0


# Prune


def fates(dry_run: bool = False, **needed: str) -> dict[str, str]:
    """Prune, and return by version why it stays, or that it is gone."""
    own = {number.removeprefix("v"): why for number, why in needed.items()}
    found = prune(KEEP, own, dry_run)
    return {fate.version: "gone" if fate.removed else fate.why for fate in found}


def test_a_version_goes_only_where_it_is_beyond_both_number_and_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(4)
    both = small_contract(publishing={"keep": {"versions": 2, "days": 30}})
    young = {f.version: f.removed for f in prune(both, {})}
    assert not any(young.values())
    age(monkeypatch, 31)
    assert {f.version: f.removed for f in prune(both, {}, dry_run=True)} == {
        "1": True, "2": True, "3": False, "4": False,
    }  # fmt: skip
    assert len(entries(CONTRACT)) == 4
    prune(both, {})
    assert [e.version for e in entries(CONTRACT)] == ["4", "3"]


def test_nothing_goes_that_is_needed() -> None:
    add(3)
    add(1, opponent="2")
    add(1, opponent="1")
    add(4)
    champions("4", "5")
    registry.client().set_registered_model_alias("small", "kept", "6")
    with using("small", "7", "predict rows.parquet"):
        found = fates(v8="run x waits for approval")
    assert found["1"] == "version 5, champion, was compared with it"
    assert found["2"] == "version 4, previous, was compared with it"
    assert found["3"] == "gone"
    assert (found["4"], found["5"], found["6"]) == (
        "it is previous",
        "it is champion",
        "it is kept",
    )
    assert found["7"].startswith("in use: predict rows.parquet (")
    assert found["8"] == "run x waits for approval"
    assert found["9"] == "one of the 1 newest"


def test_a_use_that_begins_while_a_version_goes_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    add(2)
    asked = []

    def late(model: str, version: str) -> list[object]:
        asked.append(version)
        held = asked.count("1") == 2
        return list(uses(model, "1")) if held else []

    monkeypatch.setattr(pruning, "uses", late)
    with using("small", "1", "serve"):
        assert fates()["1"].startswith("in use: serve")
    assert tags("1")[registry.COMPLETE_TAG] == "true"


def test_what_a_killed_run_left_goes_once_nobody_can_be_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(1, complete="false")
    add(1)
    assert fates()["1"] == "it may be in the making"
    age(monkeypatch, 0.3)
    assert fates()["1"] == "gone"


def test_a_pruned_version_takes_its_files_and_leases_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shards = prepare(CONTRACT, small_rows())
    for name in ("first", "second", "third", "fourth"):
        published(CONTRACT, untrained(shards, name))
    root_storage().put("uses/small/1/old.json", b"{}")
    folders = list(Path(root_storage().path, "registry", "artifacts").rglob("MLmodel"))
    assert len(folders) == 4
    assert {n for n, fate in fates().items() if fate == "gone"} == {"1"}
    left = list(Path(root_storage().path, "registry", "artifacts").rglob("MLmodel"))
    assert len(left) == 3
    assert root_storage().places("uses/small/1") == []
    assert registry.bundle_folder("small", "2").is_dir()
    assert fates() == {
        "2": "version 3, previous, was compared with it",
        "3": "it is previous",
        "4": "it is champion",
    }


def test_a_removal_that_was_cut_off_is_finished_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    add(2)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "remove", cut)
        with pytest.raises(KeyboardInterrupt):
            fates()
    assert "being pruned" in [e.state for e in entries(CONTRACT)]
    with pytest.raises(DataError, match="not complete"):
        move("small", "1", before=None, kind="promote", by="ann")
    assert fates() == {"1": "gone", "2": "one of the 1 newest"}


def test_other_datasets_versions_of_the_same_model_are_left_alone() -> None:
    add(2, dataset="other")
    add(2)
    assert set(fates()) == {"3", "4"}


def test_prune_without_a_rule_says_what_to_write(run: Callable[..., Result]) -> None:
    add(1)
    done = run("prune", "small")
    assert done.exit_code == 2
    assert "expected publishing.keep in the contract" in done.stderr
    done = run("prune", "small", "--dry-run", "--set", "publishing.keep={versions: 1, days: 0}")
    assert done.exit_code == 0, done.output
    assert "0 of 1 versions would be removed" in done.output
    assert "version 1  stays  one of the 1 newest" in done.output
