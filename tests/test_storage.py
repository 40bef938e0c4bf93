"""A place is whole when its manifest is there; nothing else is ever read."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.storage import MANIFEST, BrokenWork, Storage
from tests.objects import object_storage
from tests.walk import surroundings

PLACE = "things/small/key"


def put(storage: Storage, text: str = "content", place: str = PLACE) -> None:
    """Write one file and a record at a place."""
    with storage.write(place) as work:
        (work.folder / "deep").mkdir()
        (work.folder / "deep" / "file.txt").write_text(text, "utf-8")
        work.record = {"text": text}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Start an S3 server on loopback; return the address of a root in a bucket of it."""
    with object_storage() as address:
        yield f"{address}/prefix"


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a fresh storage root: a folder, or an address on S3."""
    if request.param == "folder":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def test_what_was_written_is_found_and_fetched(root: str) -> None:
    put(Storage(root))
    again = Storage(root)
    manifest = again.manifest(PLACE)
    assert manifest is not None
    assert manifest["record"] == {"text": "content"}
    assert (again.fetch(PLACE) / "deep" / "file.txt").read_text("utf-8") == "content"
    assert again.places("things/small") == [PLACE]


def test_a_place_that_nothing_was_written_to_is_absent(root: str) -> None:
    storage = Storage(root)
    assert storage.manifest(PLACE) is None
    assert storage.places("things") == []
    with pytest.raises(BrokenWork, match="is not complete"):
        storage.fetch(PLACE)


@pytest.mark.parametrize("damage", ["cut", "edited", "emptied"])
def test_a_damaged_manifest_reads_as_absent(root: str, damage: str) -> None:
    storage = Storage(root)
    put(storage)
    path = f"{storage.path}/{PLACE}/{MANIFEST}"
    text = storage.fs.cat_file(path)
    new = {"cut": text[:-20], "edited": text.replace(b"content", b"CONTENT"), "emptied": b""}
    storage.fs.pipe_file(path, new[damage])
    assert Storage(root).manifest(PLACE) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("seal"), inner),
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_a_manifests_place_read_as_absent(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    root = tmp_path_factory.getbasetemp() / "bytes"
    (root / PLACE).mkdir(parents=True, exist_ok=True)
    (root / PLACE / MANIFEST).write_bytes(content)
    assert Storage(str(root)).manifest(PLACE) is None


def test_a_manifest_is_replaced_as_a_whole(tmp_path: Path) -> None:
    # Two that write into one file at once would leave a mixture.
    storage = Storage(str(tmp_path))
    put(storage, "first")
    with (tmp_path / PLACE / MANIFEST).open(encoding="utf-8") as reader:
        put(storage, "second")
        assert json.load(reader)["record"] == {"text": "first"}
    manifest = storage.manifest(PLACE)
    assert manifest is not None
    assert manifest["record"] == {"text": "second"}


def test_a_file_that_changed_is_refused(root: str) -> None:
    storage = Storage(root)
    put(storage)
    manifest = storage.manifest(PLACE)
    assert manifest is not None
    file = f"{storage.path}/{PLACE}/{manifest['attempt']}/deep/file.txt"
    storage.fs.pipe_file(file, b"CONTENT")
    with pytest.raises(BrokenWork, match="differs from its manifest"):
        Storage(root).fetch(PLACE)


def test_a_missing_file_makes_its_place_absent(root: str) -> None:
    storage = Storage(root)
    put(storage)
    manifest = storage.manifest(PLACE)
    assert manifest is not None
    storage.fs.rm_file(f"{storage.path}/{PLACE}/{manifest['attempt']}/deep/file.txt")
    assert Storage(root).manifest(PLACE) is None


def test_a_writer_that_fails_leaves_nothing(root: str) -> None:
    storage, folders = Storage(root), []

    def fail() -> None:
        with storage.write(PLACE) as work:
            folders.append(work.folder)
            (work.folder / "half.txt").write_text("half", "utf-8")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert storage.manifest(PLACE) is None
    assert not folders[0].exists()
    assert storage.fs.find(storage.path) == []


def test_a_writer_that_fails_leaves_what_was_there(root: str) -> None:
    storage = Storage(root)
    put(storage)
    with pytest.raises(RuntimeError), storage.write(PLACE):
        raise RuntimeError
    assert (Storage(root).fetch(PLACE) / "deep" / "file.txt").read_text("utf-8") == "content"


def test_a_place_without_files_is_whole(root: str) -> None:
    with Storage(root).write(PLACE) as work:
        work.record = {"files": 0}
    manifest = Storage(root).manifest(PLACE)
    assert manifest is not None
    assert (manifest["files"], manifest["record"]) == ({}, {"files": 0})


def test_files_without_their_manifest_are_never_read(root: str) -> None:
    # What a writer leaves that is killed between its last file and the manifest.
    storage = Storage(root)
    put(storage)
    storage.fs.rm_file(f"{storage.path}/{PLACE}/{MANIFEST}")
    again = Storage(root)
    assert again.manifest(PLACE) is None
    put(again, "anew")
    assert (again.fetch(PLACE) / "deep" / "file.txt").read_text("utf-8") == "anew"


def test_a_file_of_another_size_makes_its_place_absent(root: str) -> None:
    storage = Storage(root)
    put(storage)
    manifest = storage.manifest(PLACE)
    assert manifest is not None
    file = f"{storage.path}/{PLACE}/{manifest['attempt']}/deep/file.txt"
    storage.fs.pipe_file(file, b"longer than before")
    assert Storage(root).manifest(PLACE) is None


def test_an_address_leads_to_the_file(root: str) -> None:
    storage = Storage(root)
    put(storage)
    assert storage.fs.cat_file(storage.address(PLACE, "deep/file.txt")) == b"content"


def test_a_root_may_end_in_a_slash(root: str) -> None:
    put(Storage(f"{root}/"))
    assert Storage(root).manifest(PLACE) is not None


def test_a_killed_writer_is_never_read_and_the_next_one_clears_it_away(tmp_path: Path) -> None:
    program = f"""
import time
from tasks.storage import Storage
with Storage({str(tmp_path)!r}).write({PLACE!r}) as work:
    (work.folder / "half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", program],
        env=surroundings({}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    storage = Storage(str(tmp_path))
    assert list(tmp_path.rglob("half.txt"))
    assert storage.manifest(PLACE) is None
    put(storage)
    assert not list(tmp_path.rglob("half.txt"))
    assert storage.fetch(PLACE).is_dir()


def test_only_a_dead_attempt_of_this_machine_is_cleared_away(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    dead = f"{host}-{ended.pid}-0123abcd"
    others = [f"{host}-b-{ended.pid}-0123abcd", f"{host}-{os.getpid()}-0123abcd", "a-b-c"]
    for name in (dead, *others):
        (tmp_path / PLACE / name).mkdir(parents=True)
    put(Storage(str(tmp_path)))
    left = {f.name for f in (tmp_path / PLACE).iterdir()}
    assert dead not in left
    assert left >= set(others)


WRITER = f"""
import sys
from tasks.storage import Storage
for i in range(int(sys.argv[2])):
    with Storage(sys.argv[1]).write({PLACE!r}) as work:
        for name in ("one", "two"):
            (work.folder / name).write_text(f"{{work.folder.name}} {{i}}")
        work.record = {{"by": f"{{work.folder.name}} {{i}}"}}
"""


def write_in_a_process(root: str, times: int) -> "subprocess.Popen[str]":
    """Start a process that writes PLACE over and over; both of its files say by whom."""
    arguments = [sys.executable, "-c", WRITER, root, str(times)]
    return subprocess.Popen(arguments, env=surroundings({}), text=True)


def test_an_attempt_that_completes_while_another_begins_stays(tmp_path: Path) -> None:
    class Slow(Storage):
        """Storage on a machine where another process writes and ends after each look."""

        def manifest(self, place: str) -> dict[str, Any] | None:
            found = super().manifest(place)
            assert write_in_a_process(str(tmp_path), 1).wait() == 0
            return found

    with Slow(str(tmp_path)).write(PLACE):
        assert Storage(str(tmp_path)).manifest(PLACE) is not None


def test_processes_that_write_one_place_at_once_leave_it_whole(tmp_path: Path) -> None:
    writers = [write_in_a_process(str(tmp_path), 20) for _ in range(3)]
    assert [w.wait() for w in writers] == [0, 0, 0]
    storage = Storage(str(tmp_path))
    manifest = storage.manifest(PLACE)
    assert manifest is not None
    folder = storage.fetch(PLACE)
    assert {(folder / n).read_text("utf-8") for n in ("one", "two")} == {manifest["record"]["by"]}


def test_what_another_process_wrote_is_seen_at_once(s3: str) -> None:
    import s3fs

    storage = Storage(f"{s3}/listing")
    assert storage.places("runs") == []
    other = s3fs.S3FileSystem(skip_instance_cache=True)
    for name in ("one", "two"):
        other.pipe_file(f"{storage.path}/runs/{name}/{MANIFEST}", b"")
        assert storage.places("runs")[-1] == f"runs/{name}"


def test_two_writers_of_one_place_do_not_mix(root: str) -> None:
    first, second = Storage(root), Storage(root)
    with first.write(PLACE) as one, second.write(PLACE) as two:
        (one.folder / "file.txt").write_text("one", "utf-8")
        (two.folder / "file.txt").write_text("two", "utf-8")
        one.record, two.record = {"by": "one"}, {"by": "two"}
    found = Storage(root)
    manifest = found.manifest(PLACE)
    assert manifest is not None
    text = (found.fetch(PLACE) / "file.txt").read_text("utf-8")
    assert manifest["record"] == {"by": text}


def test_a_manifest_says_when_it_was_written(tmp_path: Path) -> None:
    put(Storage(str(tmp_path)))
    content = json.loads((tmp_path / PLACE / MANIFEST).read_text("utf-8"))
    assert content["written"].startswith(time.strftime("%Y-", time.gmtime()))


def test_of_two_manifests_of_one_second_it_is_known_which_is_the_later(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    places = [f"shards/{n}" for n in range(20)]
    for place in places:
        put(storage, place=place)
    written = {p: (storage.manifest(p) or {})["written"] for p in places}
    assert sorted(places, key=written.__getitem__) == places
    assert len(set(written.values())) == 20


def test_an_address_that_nothing_can_open_is_told_in_a_sentence() -> None:
    with pytest.raises(BrokenWork, match=r"storage root nowhere://x cannot be used"):
        Storage("nowhere://x")


def test_a_file_is_created_once_and_read_whole(root: str) -> None:
    storage = Storage(root)
    assert storage.read("journal/small/1.json") is None
    assert storage.create("journal/small/1.json", b"first")
    assert not Storage(root).create("journal/small/1.json", b"second")
    assert Storage(root).read("journal/small/1.json") == b"first"
    assert storage.places("journal/small") == ["journal/small/1.json"]


def test_of_many_that_create_a_file_at_once_one_succeeds(root: str) -> None:
    storage, start = Storage(root), threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        return storage.create("one", str(number).encode() * 1000)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert made.count(True) == 1
    assert storage.read("one") == str(made.index(True)).encode() * 1000
