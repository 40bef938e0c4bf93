"""A flow's end says what came of it, in the state's name and first line."""

import subprocess
import sys
from typing import Any

import pytest

from data_contracts.errors import UnknownDataset
from flows.outcome import telling
from flows.remote import exit_code
from flows.results import code, code_of
from tasks.errors import Breach, DataError
from tasks.records import Approval, Publication, Ruling, Run, Scores, Verdict
from tests.builders import CANDIDATE
from tests.forgetting import forgetting
from tests.walk import surroundings


def run_with(version: str | None, as_of: str | None = None) -> Run:
    """Return the record of a run that published a version, or was blocked."""
    ruling = Ruling(
        rule="rmse below mean",
        target="a",
        passed=version is not None,
        blocks=True,
        value=2.0,
        limit=1.0,
        reason="2 K, mean 1 K",
    )
    scores = Scores(candidate=CANDIDATE, scores=(), as_of=as_of)
    verdict = Verdict(scores=scores, outcome="pass" if version else "fail", rulings=(ruling,))
    publication = Publication(verdict=verdict, model="small", version=version, tracking_run="1234")
    outcome: Any = "published" if version else "blocked"
    return Run(id="1", dataset="small", outcome=outcome, publication=publication)


def asked(approval: Approval | None) -> Run:
    """Return the record of a run that asked a person, and what became of it."""
    blocked = run_with(None)
    outcome: Any = "fail" if approval else "needs approval"
    own = {"outcome": outcome, "approval": approval, "rulings": ()}
    verdict = blocked.publication.verdict.model_copy(update=own)
    publication = blocked.publication.model_copy(update={"verdict": verdict})
    found = {"publication": publication, "outcome": publication.outcome}
    return blocked.model_copy(update=found)


REJECTED = Approval(decision="rejected", by="ann", when="2026-11-25T02:00:00Z", reason="one is off")


def ending(value: Any) -> Any:
    """Return the state in which a flow ends that returns a value, or raises it."""

    def flow() -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return telling(flow)()


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (run_with("3"), "Published"),
        (run_with("3", as_of="2013-06-01"), "Kept"),
        (run_with(None), "Blocked"),
        (asked(None), "Waiting"),
        (asked(REJECTED), "Rejected"),
    ],
)
def test_a_run_ends_under_the_name_of_its_outcome(run: Run, name: str) -> None:
    state = ending(run)
    assert state.name == name
    assert state.is_completed()
    assert state.data is run


def test_a_blocked_run_says_which_rulings_failed() -> None:
    assert "a: 2 K, mean 1 K" in ending(run_with(None)).message


def test_a_waiting_run_says_how_to_decide() -> None:
    message = ending(asked(None)).message
    assert message.startswith("nothing published yet: it waits for approval")
    assert "polycast approve 1" in message


def test_a_rejected_run_says_by_whom_and_why() -> None:
    assert "rejected by ann: one is off" in ending(asked(REJECTED)).message


@pytest.mark.parametrize(
    ("run", "expected"),
    [(run_with("3"), 0), (asked(None), 5), (run_with(None), 3), (asked(REJECTED), 3)],
)
def test_the_exit_code_is_the_same_here_and_from_the_servers_state(run: Run, expected: int) -> None:
    assert code_of(run) == code(ending(run).name) == expected


def test_a_breach_says_what_is_broken_first() -> None:
    state = ending(Breach(("temp is 1 to 2",), "docs.html"))
    assert state.name == "Breach"
    assert state.is_failed()
    assert state.message.splitlines()[0] == "the data breaks an expectation:"


@pytest.mark.parametrize(
    ("error", "name", "expected"),
    [
        (DataError("the source of small is missing"), "Unusable", 4),
        (UnknownDataset("no contract is named x"), "Refused", 2),
        (ConnectionError("the registry is away"), "Failed", 1),
    ],
)
def test_an_error_is_the_first_line_and_stays_the_exception(
    error: Exception, name: str, expected: int
) -> None:
    state = ending(error)
    assert (state.name, exit_code(state)) == (name, expected)
    assert state.message == str(error.args[0])
    assert state.data is error


def test_a_flow_that_returns_something_else_returns_it() -> None:
    assert ending("candidates/small/1") == "candidates/small/1"


FORGOTTEN = """
from flows.outcome import told
from tasks.errors import Breach
from tests.test_outcome import run_with

RUN = run_with("3")

@told(name="broken")
def broken():
    raise Breach(("temp is 1 to 2",), "docs.html")

@told(name="published")
def published():
    return RUN

try:
    broken()
except Breach as error:
    print(error.broken)
print(published() is RUN)
"""


def test_the_caller_gets_the_end_though_the_servers_answer_was_lost(api: str) -> None:
    with forgetting(api) as (address, lost):
        result = subprocess.run(
            [sys.executable, "-c", FORGOTTEN],
            env=surroundings({"PREFECT_API_URL": address}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert result.stdout.split("\n") == ["('temp is 1 to 2',)", "True", ""], result.stderr
    assert len(lost) == 2
