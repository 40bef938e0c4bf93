"""Many processes publish one dataset at once and are killed at any moment; nothing is lost."""

import json
import multiprocessing
import os
import random
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tasks import registry
from tasks.journal import mend, moves
from tasks.publish import STAGE
from tasks.records import Candidate
from tasks.storage import root_storage
from tests.builders import small_contract, small_rows
from tests.publishing import prepare, publish_here, untrained
from tests.topology import needs_postgres, postgres

AT_ONCE = 4


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that processes are forked from finds our modules by this alone."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


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
    """Processes that publish candidates, a few at once, some of which are killed."""

    folder: Path
    settings: dict[str, str]
    random: random.Random
    killed: int = 0
    seconds: float = 0.0
    """How long one publish takes alone: kills come within twice that."""

    def publish(self, places: list[str]) -> None:
        """Publish the candidates at these places; the first alone, and the others so that each
        is killed once, unless it is done before. Whoever was killed is followed by another."""
        start = time.monotonic()
        self._wait({places[0]: self._start(places[0], None)})
        self.seconds = time.monotonic() - start
        waiting = [(place, self.random.uniform(0, 2 * self.seconds)) for place in places[1:]]
        running: dict[str, BaseProcess] = {}
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                place, fuse = waiting.pop(0)
                running[place] = self._start(place, fuse)
            waiting += [(place, None) for place in self._wait(running)]

    def _start(self, place: str, fuse: float | None) -> BaseProcess:
        context = multiprocessing.get_context("forkserver")
        log = str(self._log(place))
        process = context.Process(target=publish_here, args=(self.settings, place, log, fuse))
        process.start()
        return process

    def _wait(self, running: dict[str, BaseProcess]) -> list[str]:
        """Wait for one to end, and take away who has; return what those worked at that were
        killed."""
        wait([process.sentinel for process in running.values()])
        ended = {place: own for place, own in running.items() if not own.is_alive()}
        killed = []
        for place, process in ended.items():
            process.join()
            del running[place]
            if process.exitcode == -signal.SIGKILL:
                killed.append(place)
            else:
                assert process.exitcode == 0, self._log(place).read_text("utf-8")[-3000:]
        self.killed += len(killed)
        return killed

    def _log(self, place: str) -> Path:
        return self.folder / f"{place.rsplit('/', 1)[-1]}.log"


def crowd(tmp_path: Path, seed: int) -> Crowd:
    """Return a crowd over a registry whose tables are made already."""
    names = ("POLYCAST_HOME", "MLFLOW_TRACKING_URI")
    settings = {name: os.environ[name] for name in names if name in os.environ}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registry.client().search_experiments()
    dear = ["mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "tests.publishing", "keras"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(dear)
    return Crowd(tmp_path, settings, random.Random(seed))


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
    return [untrained(shards, f"c{i:02}") for i in range(count)]


def test_of_several_that_publish_at_once_each_is_judged_by_the_champion_of_then(
    tmp_path: Path,
) -> None:
    made = candidates(2)
    crowd(tmp_path, seed=0).publish([c.place for c in made])
    hold(made)


@pytest.mark.slow
def test_twenty_publishes_at_once_survive_kills_at_random_moments(
    tmp_path: Path, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    made = candidates(20)
    many = crowd(tmp_path, seed=random.randrange(1 << 32))
    many.publish([c.place for c in made])
    assert many.killed > 3
    hold(made)
