"""Many processes publish one dataset at once and are killed at any moment; nothing is lost."""

import json
import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tasks import registry
from tasks.journal import mend, moves
from tasks.publish import STAGE
from tasks.records import Candidate
from tasks.storage import root_storage
from tests.builders import small_contract, small_rows
from tests.publishing import bare, prepare, publish_here
from tests.topology import needs_postgres, postgres

AT_ONCE = 4
LONGEST = 4.0
"""Seconds after which a process that is to be killed is killed at the latest."""
PATIENCE = 120.0


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=needs_postgres())])
def address(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The address of MLflow's database; None for the one under the storage root."""
    if request.param == "sqlite":
        yield None
        return
    with postgres("mlflow") as server:
        yield server.address("mlflow", "psycopg")


@dataclass
class Crowd:
    """Processes that publish candidates, some of which are killed."""

    folder: Path
    settings: dict[str, str]
    kills: int
    random: random.Random
    running: dict[str, BaseProcess] = field(default_factory=dict)
    killed: int = 0

    def publish(self, places: list[str]) -> None:
        """Publish the candidates at these places, at most a few at once; whoever was killed is
        followed by another process on the same candidate."""
        waiting = list(places)
        while waiting or self.running:
            while waiting and len(self.running) < AT_ONCE:
                place = waiting.pop(0)
                self.running[place] = self._start(place)
            time.sleep(self.random.uniform(0.0, LONGEST / AT_ONCE))
            if self.killed < self.kills and self.running:
                victim = self.random.choice(sorted(self.running))
                self.running[victim].kill()
            waiting += self._ended()

    def _start(self, place: str) -> BaseProcess:
        log = str(self.folder / f"{place.rsplit('/', 1)[-1]}.log")
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=publish_here, args=(self.settings, place, log))
        process.start()
        return process

    def _ended(self) -> list[str]:
        """Take away who has ended; return the candidates of those that were killed."""
        ended = {p: own for p, own in self.running.items() if not own.is_alive()}
        again = []
        for place, process in ended.items():
            process.join()
            del self.running[place]
            if process.exitcode == -9:
                self.killed += 1
                again.append(place)
            else:
                name = place.rsplit("/", 1)[-1]
                said = (self.folder / f"{name}.log").read_text("utf-8")
                assert process.exitcode == 0, said[-3000:]
        return again


def crowd(tmp_path: Path, address: str | None, kills: int, seed: int) -> Crowd:
    """Return a crowd over a registry whose tables are made already."""
    names = ("POLYCAST_HOME", "MLFLOW_TRACKING_URI")
    if address:
        os.environ["MLFLOW_TRACKING_URI"] = address
    settings = {name: os.environ[name] for name in names if name in os.environ}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registry.client().search_experiments()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.publishing", "mlflow"])
    return Crowd(tmp_path, settings, kills, random.Random(seed))


def hold(candidates: list[Candidate]) -> None:
    """Hold that all was published, that the journal is whole, and that the alias is its last."""
    mend("small")
    journal = moves("small")
    assert [m.number for m in journal] == list(range(1, len(journal) + 1))
    assert [m.before for m in journal] == [None, *(m.version for m in journal[:-1])]
    assert {m.kind for m in journal} == {"publish"}
    done = {p for p in root_storage().places("journal/small") if p.endswith(".done")}
    assert len(done) == len(journal)
    client = registry.client()
    aliases = {k: str(v) for k, v in client.get_registered_model("small").aliases.items()}
    assert aliases == {"champion": journal[-1].version, "previous": str(journal[-1].before)}
    known = {v.version: v for v in registry.versions(client, "name = 'small'")}
    assert all(known[m.version].tags[registry.COMPLETE_TAG] == "true" for m in journal)
    for made in candidates:
        own = {n for n, v in known.items() if v.tags[registry.CANDIDATE_TAG] == made.hash}
        assert own & {m.version for m in journal}, f"{made.place} was never champion"
    complete = [v for v in known.values() if v.tags.get(registry.COMPLETE_TAG) == "true"]
    assert len(complete) == len(known), "an incomplete version was left behind"
    for version in complete:  # its files are there, and it says what it was compared with
        assert (registry.bundle_folder("small", version.version) / "bundle.json").is_file()
    _recorded(candidates)
    _judged_by_the_champion_of_then(known)


def _recorded(candidates: list[Candidate]) -> None:
    """Hold that the publication of each candidate is in storage."""
    found = (STAGE.read(place) for place in root_storage().places("publications/small"))
    hashes = {p.verdict.scores.candidate.hash for p in found if p is not None and p.version}
    assert {made.hash for made in candidates} <= hashes


def _judged_by_the_champion_of_then(known: dict[str, registry.Version]) -> None:
    """Hold that whoever became champion was compared with the one whose place it took."""
    for made in moves("small"):
        file = registry.kept_file("small", made.version, registry.VERDICT)
        assert file is not None
        against = json.loads(file.read_text("utf-8"))["scores"]["champion"]
        assert against == made.before, f"version {made.version} after {made.before}: {against}"
        assert known[made.version].tags[registry.OPPONENT_TAG] == (made.before or "")


def candidates(count: int) -> list[Candidate]:
    shards = prepare(small_contract(), small_rows())
    return [bare(shards, f"c{i:02}") for i in range(count)]


def test_of_several_that_publish_at_once_each_is_judged_by_the_champion_of_then(
    tmp_path: Path,
) -> None:
    made = candidates(4)
    crowd(tmp_path, None, kills=3, seed=0).publish([c.place for c in made])
    hold(made)


@pytest.mark.slow
def test_twenty_publishes_at_once_survive_twenty_kills(
    tmp_path: Path, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address or "")
    if not address:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    made = candidates(20)
    many = crowd(tmp_path, address, kills=20, seed=int(os.environ.get("POLYCAST_SEED", "1")))
    many.publish([c.place for c in made])
    assert many.killed == 20
    hold(made)
