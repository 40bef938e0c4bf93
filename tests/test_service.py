"""What `polycast up` runs is started again when it ends, and given up when it keeps ending."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.server import ServerFault, free_port, healthy
from flows.service import TRIES, Service, stop_all


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a real server that answers, with its log in a folder that is not there yet."""
    port = free_port()
    command = ["http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    address = f"http://127.0.0.1:{port}/"
    found = Service("the files", command, os.environ, tmp_path / "logs" / "files.log", address)
    found.start()
    found.wait()
    yield found
    stop_all([found])


def kill(service: Service) -> None:
    """End the server as an accident would: the guard over it ends then, too."""
    assert service.process is not None
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    service.process.wait(30)


def test_a_service_that_was_killed_answers_again(service: Service) -> None:
    kill(service)
    assert service.ended() is not None
    assert not healthy(str(service.health))
    service.start_again()
    service.wait()
    urllib.request.urlopen(str(service.health), timeout=10).close()
    assert service.ended() is None


def test_a_service_that_keeps_ending_is_given_up_with_its_log(service: Service) -> None:
    for _ in range(TRIES):
        kill(service)
        service.start_again()
        service.wait()
    kill(service)
    with pytest.raises(ServerFault, match=r"the files ended 4 times within 5 minutes.*files\.log"):
        service.start_again()


def test_stopping_leaves_nothing_that_answers(service: Service) -> None:
    stop_all([service])
    assert not healthy(str(service.health))
