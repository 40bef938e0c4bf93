"""The engine is one setting; a wrong one is told, and so are GPUs that it cannot give."""

import pytest
from prefect.task_runners import ProcessPoolTaskRunner

from flows.engine import asking, engine, task_runner
from flows.server import ServerFault


def test_work_runs_on_processes_of_this_machine_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("POLYCAST_ENGINE", raising=False)
    assert task_runner(3) == ProcessPoolTaskRunner(max_workers=3)


def test_an_engine_that_is_none_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYCAST_ENGINE", "dask")
    with pytest.raises(ServerFault, match=r"is 'dask': expected local, ray, or a cluster's addr"):
        engine()


def test_a_clusters_address_is_the_runners(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_ray")
    monkeypatch.setenv("POLYCAST_ENGINE", "ray://head:10001")
    assert task_runner(2).address == "ray://head:10001"  # type: ignore[attr-defined]


def test_local_processes_are_given_no_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYCAST_ENGINE", raising=False)
    with pytest.raises(ServerFault, match="given out by Ray alone: set POLYCAST_ENGINE=ray"):
        asking(1).__enter__()


def test_more_gpus_than_the_machine_has_are_refused_instead_of_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYCAST_ENGINE", "ray")
    with pytest.raises(ServerFault, match="99 GPUs are asked for each run, and this machine has"):
        asking(99).__enter__()
