"""What `polycast doctor` reaches for: storage root, disk, registry, Prefect server, ports."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.checks import Finding
from flows.trials import TrialFault, tried
from tasks.storage import BrokenWork, home, root_storage

GIB = 1024**3
LEAST_DISK = GIB // 4
"""Bytes without which the default dataset's retrain has no room."""
GOOD_DISK = 2 * GIB
"""Bytes that give room for data of some size: snapshots, shards, temporary copies."""


def root() -> Iterator[Finding]:
    """Write under the storage root, read it back, and remove it."""
    try:
        tried("root")
    except TrialFault as fault:
        said = f"{home()} cannot be written and read: {_obstacle() or fault}"
        yield Finding("storage root", "wrong", said, _root_mend())
        return
    yield Finding("storage root", "fine", f"{home()}: written and read")


def _obstacle() -> str:
    """Name the file that is in the place of a folder of a local root, where there is one."""
    folder = _local_root()
    there = _existing(folder) if folder else None
    return f"{there} is a file, not a folder" if there and not there.is_dir() else ""


def _root_mend() -> str:
    if _local_root() is None:
        return (
            "see that the address in POLYCAST_HOME, the network, AWS_ENDPOINT_URL and the "
            "credentials are right, and that the bucket is there"
        )
    return "set POLYCAST_HOME to a folder where you may write, or make this one so"


def _local_root() -> Path | None:
    """Return the storage root's path where it is a local folder, there or not."""
    try:
        storage = root_storage()
    except BrokenWork:
        return None
    return Path(storage.path) if storage.local else None


def _existing(path: Path) -> Path:
    """Return the path or the nearest folder or file above it that is there."""
    return next(p for p in (path, *path.parents) if p.exists())


def disk() -> Iterator[Finding]:
    """Look for room: where the storage root lies, and where temporary files go."""
    root = _local_root()
    folders = [_existing(root)] if root else []
    yield from room([*folders, Path(tempfile.gettempdir())])


def room(folders: list[Path]) -> Iterator[Finding]:
    """Say how much is free at folders, once per file system."""
    for folder in {f.stat().st_dev: f for f in reversed(folders)}.values():
        free = shutil.disk_usage(folder).free
        said = f"{free / GIB:.1f} GiB free at {folder}"
        mend = f"free {GOOD_DISK / GIB:.0f} GiB, or set POLYCAST_HOME and TMPDIR to where there is"
        if free < LEAST_DISK:
            yield Finding("disk", "wrong", said, mend)
        elif free < GOOD_DISK:
            yield Finding("disk", "note", f"{said}: little for large data", mend)
        else:
            yield Finding("disk", "fine", said)


def registry() -> Iterator[Finding]:
    """Ask MLflow's tracking server and registry; a database that is not there yet is not made."""
    from tasks.registry import tracking_address

    tracking = os.environ.get("MLFLOW_TRACKING_URI") or (tracking_address() if _folder() else "")
    address = os.environ.get("MLFLOW_REGISTRY_URI") or tracking
    shown = " and ".join(dict.fromkeys(a for a in (tracking, address) if a))
    missing = [a for a in (tracking, address) if _unmade(a)]
    if missing:
        yield _not_yet(missing[0])
        return
    try:
        found = tried("registry")
    except TrialFault as fault:
        yield Finding("registry", "wrong", f"{shown}: {fault}", _registry_mend(str(fault)))
        return
    words = "answers" if found["models"] else "answers, with no model yet"
    yield Finding("registry", "fine", f"{shown}: {words}")


def _unmade(address: str) -> bool:
    """Say whether an address is of a database or folder that a client would make."""
    file = _file(address)
    return not address or (file is not None and not file.exists())


def _file(address: str) -> Path | None:
    """Return the file or folder that an address names, or None where it names a server."""
    for prefix in ("sqlite:///", "file://", "file:"):
        if address.startswith(prefix):
            return Path(address.removeprefix(prefix).partition("?")[0])
    return None if ":" in address or address.startswith("databricks") else Path(address)


def _not_yet(address: str) -> Finding:
    """Tell of a database that is not there; one under the storage root is where that can be."""
    file = _file(address)
    if not address or file is None:
        return Finding("registry", "fine", "SQLite under the storage root, made by the first run")
    there = _existing(file.absolute().parent)
    if there.is_dir() and os.access(there, os.W_OK):
        return Finding("registry", "fine", f"{address}: made by the first run")
    said = f"{address} cannot be made: {there} is no folder where you may write"
    return Finding("registry", "wrong", said, _registry_mend(""))


def _registry_mend(fault: str) -> str:
    if "out-of-date database schema" in fault:
        return "mlflow db upgrade ADDRESS, after a copy of the database"
    if "code 401" in fault or "code 403" in fault:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return "start it, correct MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI, or unset them for SQLite"


def _folder() -> Path | None:
    """Return the folder of servers' files where it is there; unlike `local_home`, make none."""
    try:
        storage = root_storage()
    except BrokenWork:
        return None
    folder = Path(storage.path) if storage.local else Path(".polycast").resolve()
    return folder if folder.is_dir() else None


def server() -> Iterator[Finding]:
    """Ask the Prefect server that a retrain would report to, and look at its work pools."""
    from flows.server import configured, prefect_home

    team = _up()
    if configured():
        address = os.environ.get("PREFECT_API_URL") or "the server of Prefect's profile"
        mend = "start it, correct PREFECT_API_URL, or unset it: a retrain then starts its own"
        yield from _asked(address, mend)
    elif team:
        address, files = f"{team['prefect']}/api", str(prefect_home())
        mend = "stop `polycast up` with Ctrl-C, and start it again"
        yield from _asked(address, mend, PREFECT_API_URL=address, PREFECT_HOME=files)
    else:
        said = "none is running: a retrain starts a temporary one"
        yield Finding("server", "note", said, "polycast up, for schedules and to see runs")


def _up() -> dict[str, str]:
    from flows.server import running

    return running() if _folder() else {}


def _asked(address: str, mend: str, **settings: str) -> Iterator[Finding]:
    try:
        found = tried("server", **settings)
    except TrialFault as fault:
        if "401" in str(fault) or "403" in str(fault):
            mend = "set PREFECT_API_AUTH_STRING to user:password, or PREFECT_API_KEY"
        yield Finding("server", "wrong", f"{address}: {fault}", mend)
        return
    yield _versions(found)
    for pool, workers in found["pools"].items():
        yield _pool(pool, workers)


def _versions(found: dict[str, Any]) -> Finding:
    """Compare the server's version with this client's; of another major it would not answer."""
    address, here, there = found["address"], found["client"], found["server"]
    if there is None or there == here:
        return Finding("server", "fine", f"{address}: answers, version {here}")
    said = f"{address}: answers, version {there}, where this client is {here}"
    return Finding("server", "note", said, f"bring both to one version, the server first: {here}")


def _pool(pool: str, workers: int | None) -> Finding:
    if workers is None:
        return Finding("work pools", "note", f"there is no pool {pool}", "polycast deploy")
    if workers:
        return Finding("work pools", "fine", f"{pool}: {workers} online")
    does = {"cpu": "scheduled retrains wait", "gpu": "training runs beside its retrain"}[pool]
    said = f"{pool}: no worker is online, so {does}"
    where = ", on a machine with a GPU" if pool == "gpu" else ""
    return Finding("work pools", "note", said, f"prefect worker start --pool {pool}{where}")


def ports() -> Iterator[Finding]:
    """Look whether `polycast up` could listen on its ports, unless it does already."""
    from flows.up import MLFLOW_PORT, PREFECT_PORT, port_is_free

    if _up():
        yield Finding("ports", "fine", "`polycast up` runs here")
        return
    taken = {"prefect": PREFECT_PORT, "mlflow": MLFLOW_PORT}
    taken = {name: port for name, port in taken.items() if not port_is_free(port)}
    for name, port in taken.items():
        said = f"{port} is taken, where `polycast up` would serve {name}"
        yield Finding("ports", "note", said, f"polycast up --{name}-port PORT")
    if not taken:
        yield Finding("ports", "fine", f"{PREFECT_PORT} and {MLFLOW_PORT} are free")
