"""What `polycast doctor` looks at in an installation: each check yields what it found.

A finding is fine, a note (a retrain works all the same) or wrong (it would not). What a retrain
talks to, its storage, registry and servers, is in flows/reach.py.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from flows.trials import TrialFault, tried

if TYPE_CHECKING:
    from packaging.requirements import Requirement

State = Literal["fine", "note", "wrong"]
OURS = "polycast"
"""The name of the distribution."""
INSTALL = "pip install -c constraints.txt ., in a copy of the repository"


@dataclass(frozen=True)
class Finding:
    """What one check found: the part, its state, what is so, and what to do about it."""

    part: str
    state: State
    said: str
    mend: str = ""


def python() -> Iterator[Finding]:
    """Hold Python's version against what the distribution needs."""
    from packaging.specifiers import SpecifierSet

    here = ".".join(map(str, sys.version_info[:3]))
    try:
        needed = SpecifierSet(metadata(OURS)["Requires-Python"] or "")
    except PackageNotFoundError:  # the check of packages tells it
        needed = SpecifierSet()
    if needed.contains(here, prereleases=True):
        yield Finding("Python", "fine", here)
    else:
        mend = f"make the virtual environment with a Python {needed}, and install again"
        yield Finding("Python", "wrong", f"{here}, where {needed} is needed", mend)


def packages() -> Iterator[Finding]:
    """Hold the installed packages against the distribution's requirements."""
    try:
        needed = _requirements()
    except PackageNotFoundError:
        yield Finding("packages", "wrong", f"{OURS} itself is not installed", INSTALL)
        return
    bad = [(r, fault) for r in needed if (fault := _unmet(r))]
    if not bad:
        yield Finding("packages", "fine", f"{len(needed)} installed, each in a version that fits")
    for requirement, fault in bad:
        yield Finding("packages", "wrong", fault, f"pip install '{requirement}'")


def _requirements() -> "list[Requirement]":
    """Return what the distribution needs here, with the extras that the settings call for."""
    from packaging.requirements import Requirement

    remote = os.environ.get("POLYCAST_HOME", "").startswith(("s3:", "s3a:"))
    jax = os.environ.get("KERAS_BACKEND") == "jax"
    extras = ["", *(["s3"] if remote else []), *(["jax"] if jax else [])]
    asked = [Requirement(text) for text in requires(OURS) or []]
    found = [
        r for r in asked if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)
    ]
    for requirement in found:
        requirement.marker = None
    return found


def _unmet(requirement: "Requirement") -> str:
    """Return in what a requirement is not met, or nothing."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} {found} is installed, {requirement.specifier} is needed"


def clock() -> Iterator[Finding]:
    """Look for the time zones that contracts name."""
    lost = [name for name in sorted({"UTC", *_zones()}) if not _known(name)]
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if "UTC" in lost:
        said = f"{now}, but there are no time zone data"
        yield Finding("clock", "wrong", said, "pip install tzdata")
    elif lost:
        mend = "correct the name in the contract, or pip install --upgrade tzdata"
        yield Finding("clock", "note", f"{now}; no such time zone: {', '.join(lost)}", mend)
    else:
        yield Finding("clock", "fine", f"{now}; the contracts' time zones are known")


def _zones() -> set[str]:
    """Return the time zones that contracts name, usable contracts and others."""
    from data_contracts.errors import ContractError
    from data_contracts.loading import contract_files
    from data_contracts.reading import read

    found = set()
    for file in contract_files().values():
        try:
            schedule = read(file).data.get("schedule")
        except ContractError:  # the check of contracts tells it
            continue
        zone = schedule.get("timezone") if isinstance(schedule, dict) else None
        found |= {zone} if isinstance(zone, str) else set()
    return found


def _known(zone: str) -> bool:
    try:
        ZoneInfo.no_cache(zone)
    except (KeyError, ValueError, OSError):
        return False
    return True


def contracts() -> Iterator[Finding]:
    """Load every contract: a broken one is a note, since the others can be retrained."""
    from data_contracts.errors import ContractError
    from data_contracts.loading import contract_files, load_contract

    files, usable = contract_files(), 0
    for name, file in files.items():
        try:
            load_contract(str(file))
        except ContractError as error:
            first = error.problems[0]
            said = f"{name} cannot be used: {first.where}: {first.key}: expected {first.expected}"
            yield Finding("contracts", "note", said, f"polycast check {name} says what is wrong")
        else:
            usable += 1
    yield Finding("contracts", "fine", f"{usable} of {len(files)} can be used")


def application() -> Iterator[Finding]:
    """Make the Prefect server's application, which later releases of its parts break."""
    try:
        # Prefect makes its folder wherever it is imported: here one that is removed again.
        with TemporaryDirectory(prefix="polycast-") as folder:
            found = tried("app", PREFECT_HOME=folder)
    except TrialFault as fault:
        yield Finding("Prefect", "wrong", f"its server cannot start: {fault}", INSTALL)
        return
    yield Finding("Prefect", "fine", f"{found['version']}, and its server can start")


def framework() -> Iterator[Finding]:
    """Let Keras' backend compute, and say on which device."""
    from tasks.backends import NAMES

    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    try:
        found = tried("framework")
    except TrialFault as fault:
        said = f"the backend {name} does not compute: {fault}"
        known = name in NAMES
        mend = INSTALL if known else f"set KERAS_BACKEND to {' or '.join(NAMES)}"
        yield Finding("Keras", "wrong", said, mend)
        return
    yield Finding("Keras", "fine", f"{found['keras']} on {found['backend']}")
    yield _gpu(found["backend"], found["device"])


def _gpu(backend: str, device: str) -> Finding:
    """Compare the device that the framework chose with what the machine has."""
    from flows.team import machine_gpus

    if device != "cpu":
        return Finding("GPU", "fine", device)
    there = machine_gpus() or (["an NVIDIA GPU"] if Path("/dev/nvidia0").exists() else [])
    if not there:
        return Finding("GPU", "note", "none here: training runs on the CPU")
    said = f"{there[0]} is here, but {backend} sees none: training runs on the CPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in ("", "-1"):
        return Finding("GPU", "note", said, f"unset CUDA_VISIBLE_DEVICES, which is {hidden!r}")
    wanted = {"tensorflow": "tensorflow[and-cuda]", "jax": "jax[cuda12]"}[backend]
    return Finding("GPU", "note", said, f"pip install '{wanted}'")
