"""The proof of a version: a fresh process without Polycast loads what was registered, and answers
as the candidate does; what does not is held."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks import registry
from tasks.errors import DataError
from tasks.journal import move, moves
from tasks.learning.bundle import load_bundle
from tasks.publish import publication_markdown, publish_verdict
from tasks.publish.clean_process import CleanProcess, Unproved
from tasks.publish.proof import Sample, proving
from tasks.publish.sample import MOST_ROWS, sample
from tasks.records import Candidate, Publication, Scores, Verdict
from tasks.storage import root_storage
from tests.builders import small_candidate, small_contract, small_rows
from tests.untrained import untrained_bundle

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, as it loads
MODEL = "small"


@dataclass(frozen=True)
class Published:
    """A candidate and its publication, in a storage root of its own."""

    home: str
    contract: Contract
    candidate: Candidate
    verdict: Verdict
    publication: Publication


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = str(tmp_path_factory.mktemp("proof"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYCAST_HOME", home)
        contract = small_contract()
        candidate = small_candidate(contract, small_rows(400))
        candidate = candidate.model_copy(update={"hash": "c" * 64})
        verdict = Verdict(
            scores=Scores(candidate=candidate, scores=()), outcome="pass", rulings=(), hash="a" * 64
        )
        publication = publish_verdict(contract, candidate, verdict)
    return Published(home, contract, candidate, verdict, publication)


@pytest.fixture(autouse=True)
def _same_home(made: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYCAST_HOME", made.home)


def test_what_was_proved_stands_with_the_version_and_is_told(made: Published) -> None:
    assert made.publication.outcome == "published"
    (proof,) = made.publication.proofs
    assert proof.format == "pyfunc"
    assert proof.rows == made.candidate.shards.folds[0].rows["test"]
    assert proof.worst <= 1
    assert set(proof.rmse) == {"a", "b"}
    assert proof.memory > proof.megabytes > 0
    assert set(proof.milliseconds) == {"p50/1", "p99/1", "p50/10000", "p99/10000"}
    version = registry.version(MODEL, "1")
    assert version is not None
    assert version.proved
    assert "| pyfunc |" in publication_markdown(made.publication)


def test_a_version_keeps_what_it_was_made_of(made: Published) -> None:
    kept = registry.version_folder(MODEL, "1") / "artifacts"
    data = json.loads((kept / "data.json").read_text("utf-8"))
    assert data["rows"] == 400
    assert data["period"][0].startswith("2024-01-01")
    environment = json.loads((kept / "environment.json").read_text("utf-8"))
    assert environment["packages"]["keras"]
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=kept, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_a_model_that_answers_otherwise_is_not_proved(made: Published) -> None:
    other = untrained_bundle(made.contract, small_rows(400))
    bundle = load_bundle(registry.bundle_folder(MODEL, "1"))
    rows = sample(made.candidate, bundle, root_storage())
    with (
        proving(()) as clean,
        pytest.raises(Unproved, match=r"pyfunc: [ab]: the candidate answers"),
    ):
        clean.prove(registry.version_folder(MODEL, "1"), other, rows)


def test_a_damaged_file_is_found_before_anything_answers(made: Published, tmp_path: Path) -> None:
    file = next((registry.bundle_folder(MODEL, "1")).rglob("network.keras"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(ValueError, match=r"network\.keras: its SHA-256 is not"):
            registry.bundle_folder(MODEL, "1")
        with pytest.raises(ValueError, match=r"network\.keras: its SHA-256 is not"):
            mlflow.pyfunc.load_model(f"models:/{MODEL}/1")
        with proving(()) as clean, pytest.raises(Unproved, match="are not what was published"):
            clean.prove(registry.version_folder(MODEL, "1"), None, None)  # type: ignore[arg-type]
    finally:
        file.write_bytes(whole)


def test_a_version_that_fails_its_proof_is_held_and_made_again_when_that_is_mended(
    made: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = made.verdict.scores.model_copy(
        update={
            "candidate": made.candidate.model_copy(update={"hash": "d" * 64}),
            "champion": "1",
        }
    )
    verdict = made.verdict.model_copy(update={"scores": scores, "hash": "b" * 64})
    # Keras is loaded in this process, and has chosen; the fresh one finds no such backend.
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    held = publish_verdict(made.contract, made.candidate, verdict)
    assert held.outcome == "held"
    assert held.version is None
    assert held.held is not None
    assert held.held.version == "2"
    assert "pyfunc: the process that loaded it ended with code 1" in held.held.reason
    assert "abacus" in held.held.reason
    assert "small version 2 is held, and the champion stays" in held.summary
    champion = registry.champion(MODEL)
    assert champion is not None
    assert champion.version == "1"
    with pytest.raises(DataError, match="version 2 is held, since it failed its proof"):
        move(MODEL, "2", before="1", kind="promote", by="test")

    monkeypatch.delenv("KERAS_BACKEND")
    again = publish_verdict(made.contract, made.candidate, verdict)
    assert (again.outcome, again.version) == ("published", "3")
    assert [m.version for m in moves(MODEL)] == ["1", "3"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import flows", "flows is not installed here"),
        ("import tasks", "tasks is not installed here"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
        ("raise SystemExit(7)", "ended with code 7: it said nothing"),
        (
            "print('I0000 00:00:17.6  52 port.cc:153] on.'); raise SystemExit(7)",
            "ended with code 7: it said nothing",
        ),
    ],
)
def test_a_process_that_cannot_load_a_model_says_why(code: str, words: str, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text(f"def load(folder):\n    {code}\n", "utf-8")
    (tmp_path / "out").mkdir()
    with CleanProcess(runner, tmp_path / "out") as clean, pytest.raises(Unproved, match=words):
        clean.answer(tmp_path, tmp_path / "rows.parquet")


def test_a_process_that_is_not_asked_ends_with_its_block(tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("", "utf-8")
    with CleanProcess(runner, tmp_path) as clean:
        process = clean._process
    assert process.poll() is not None


def test_a_sample_is_spread_over_all_test_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path))
    monkeypatch.setattr("tasks.publish.sample.MOST_ROWS", 7)
    contract = small_contract()
    candidate = small_candidate(contract, small_rows(200))
    bundle = load_bundle(root_storage().fetch(candidate.place) / registry.BUNDLE)
    found = sample(candidate, bundle, root_storage())
    assert 4 <= len(found.rows) <= 7 < MOST_ROWS
    assert found.rows.column_names == list(bundle.columns)
    assert found.truth.shape == (len(found.rows), 2)
    times = found.rows.column("time").to_pylist()
    assert times == sorted(set(times))


def test_what_no_truth_is_known_of_is_measured_by_its_answers() -> None:
    from tasks.publish.proof import deviations

    answers = np.array([[1.0, 5.0], [3.0, 5.0]])
    truth = np.array([[np.nan, 4.0], [np.nan, 8.0]])
    assert deviations(truth, answers).tolist() == [1.0, 2.0]


def test_a_sample_of_no_rows_proves_nothing_wrong() -> None:
    from tasks.publish.proof import _off

    nothing = np.empty((0, 2))
    assert _off(nothing, nothing, nothing, ("a", "b")) == 0.0
    assert Sample(small_rows(1), nothing).truth.size == 0


def test_the_memory_of_a_process_is_its_own_and_not_its_parents(tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text(
        "def load(folder):\n    return None\n\n"
        "def predict(model, rows):\n    return rows.column(0).to_numpy().reshape(-1, 1)\n",
        "utf-8",
    )
    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "rows.parquet")
    (tmp_path / "out").mkdir()
    large = np.ones(40_000_000)  # 320 MB of this process, which is the other's parent
    with CleanProcess(runner, tmp_path / "out") as clean:
        found = clean.answer(tmp_path, tmp_path / "rows.parquet")
    assert found.answers.tolist() == [[1.0], [2.0]]
    assert 10e6 < found.peak < large.nbytes
