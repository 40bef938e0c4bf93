"""Work beside: it goes on while the caller does, and its fault comes to who asks."""

import threading

import pytest

from tasks.learning.aside import aside


def test_work_goes_on_while_the_caller_does() -> None:
    caller, worker = threading.Event(), threading.Event()

    def work() -> int:
        worker.set()
        assert caller.wait(10)
        return 7

    with aside(work) as outcome:
        assert worker.wait(10)
        caller.set()
        assert outcome() == outcome() == 7


def test_its_fault_is_raised_where_the_outcome_is_asked_for() -> None:
    def work() -> int:
        raise ValueError("no rows")

    with aside(work) as outcome, pytest.raises(ValueError, match="no rows"):
        outcome()


def test_it_is_over_when_the_caller_fails() -> None:
    done = threading.Event()
    with pytest.raises(KeyError), aside(done.set):
        raise KeyError("caller")
    assert done.is_set()
