"""Which faults are worth waiting for, and how long a storage root that is away is waited for."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions
import httpx
import pytest
import requests
import s3fs

from flows.service import stop_all
from tasks.passing import passes
from tasks.storage import Storage, StorageAway
from tests.topology import BUCKET, Way, make_bucket, moto, port_of, reached


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1/")
    answer = httpx.Response(status, request=request)
    return httpx.HTTPStatusError("answered", request=request, response=answer)


def refused(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError("answered", response=answer)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError("no answer"),
        OSError("the source changed while it was read"),
        OSError(errno.EIO, "a disk's passing fault"),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1"),
        httpx.ConnectError("refused"),
        answered(500),
        refused(503),
    ],
    ids=repr,
)
def test_a_fault_of_the_network_or_a_disk_passes(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("S3's, without a number"),
        PermissionError("S3's, without a number"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EROFS, "read-only"),
        botocore.exceptions.NoCredentialsError(),
        answered(404),
        refused(403),
        ValueError("bad data"),
    ],
    ids=repr,
)
def test_what_is_asked_wrongly_does_not_pass(error: Exception) -> None:
    assert not passes(error)


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """Return the way to an S3 server of its own."""
    server = moto(tmp_path)
    try:
        server.start()
        server.wait()
        make_bucket(port_of(server))
        found = Way(port_of(server))
        for name, value in reached(found.port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # S3's client itself is not what is tried
        s3fs.S3FileSystem.clear_instance_cache()
        yield found
        found.shut()
    finally:
        stop_all([server])


def test_a_storage_root_that_is_away_for_a_moment_is_waited_for(
    way: Way, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(f"s3://{BUCKET}/{tmp_path.name}")
    assert storage.manifest("things/one") is None
    with storage.write("things/one") as work:
        (work.folder / "file").write_text("content", "utf-8")
        way.shut()
        threading.Timer(3, way.open).start()
    manifest = Storage(storage.root).manifest("things/one")
    assert manifest is not None
    assert list(manifest["files"]) == ["file"]
    assert "does not answer" in caplog.text


def test_a_storage_root_that_never_answered_is_told_at_once(way: Way) -> None:
    way.shut()
    storage = Storage(f"s3://{BUCKET}/never")
    with pytest.raises(StorageAway, match=rf"s3://{BUCKET}/never does not answer: .*network"):
        storage.manifest("things/one")
