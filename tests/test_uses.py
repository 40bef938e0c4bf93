"""Leases: a version is in use while somebody works with it, and not for ever after a kill."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tasks import uses as leases
from tasks.uses import Use, using
from tests.walk import surroundings


def whats(version: str = "3") -> list[str]:
    """Return what is done with a version, by the leases that count."""
    return [use.what for use in leases.uses("small", version)]


def test_a_version_is_in_use_while_a_block_runs() -> None:
    with using("small", "3", "predict rows.parquet"):
        assert whats() == ["predict rows.parquet"]
        assert whats("2") == []
    assert whats() == []


def test_an_error_ends_a_use_too() -> None:
    with pytest.raises(ValueError, match="broken"), using("small", "3", "serve"):
        raise ValueError("broken")
    assert whats() == []


def test_two_uses_of_a_version_do_not_end_one_another() -> None:
    with using("small", "3", "serve"):
        with using("small", "3", "predict"):
            assert whats() == ["serve", "predict"]
        assert whats() == ["serve"]


def test_work_that_can_be_taken_up_again_keeps_its_version_until_it_ends_well() -> None:
    with pytest.raises(KeyboardInterrupt), using("small", "3", "predict", resumable="out.parquet"):
        raise KeyboardInterrupt
    assert whats() == ["predict"]
    with using("small", "3", "predict again", resumable="out.parquet"):
        assert whats() == ["predict again"]
    assert whats() == []


@pytest.mark.parametrize(
    ("resumable", "longest"), [(False, timedelta(minutes=10)), (True, timedelta(days=7))]
)
def test_a_lease_that_is_not_renewed_ends(resumable: bool, longest: timedelta) -> None:
    now = datetime.now(UTC)
    use = Use(what="serve", by="", since=now, renewed=now, resumable=resumable)
    assert use.counts(now + longest - timedelta(seconds=1))
    assert not use.counts(now + longest)


def test_a_lease_is_renewed_while_its_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW", 0.01)
    with using("small", "3", "serve"):
        (first,) = leases.uses("small", "3")
        while leases.uses("small", "3")[0].renewed == first.renewed:
            pass
        assert leases.uses("small", "3")[0].since == first.since


def test_the_lease_of_a_killed_process_counts_still(tmp_path: object) -> None:
    code = (
        "import os, signal\nfrom tasks.uses import using\n"
        "with using('small', '3', 'serve'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    state = {"POLYCAST_HOME": f"{tmp_path}/state"}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings(state), check=False)
    assert done.returncode == -9
    assert whats() == ["serve"]
    leases.forget("small", "3")
    assert whats() == []
