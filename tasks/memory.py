"""How much memory is free: the machine's, or less where a control group of processes has a cap."""

from pathlib import Path

MACHINE = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
GROUPS = (
    (GROUP / "memory.max", GROUP / "memory.current", GROUP / "memory.stat"),
    (
        GROUP / "memory/memory.limit_in_bytes",
        GROUP / "memory/memory.usage_in_bytes",
        GROUP / "memory/memory.stat",
    ),
)
"""The cap of a control group, what it uses and of what, in both versions."""


def free() -> int | None:
    """Return how many bytes are free; None where the system does not say."""
    found = [f for f in (_of_machine(), *(_of_group(*files) for files in GROUPS)) if f is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    return _entry(MACHINE, "MemAvailable:", 1024)


def _of_group(cap: Path, used: Path, parts: Path) -> int | None:
    if not (cap.is_file() and used.is_file()):
        return None
    most = cap.read_text("utf-8").strip()
    # What is kept of files that were read is given back as soon as memory is asked for.
    kept = _entry(parts, "total_inactive_file") or _entry(parts, "inactive_file") or 0
    taken = int(used.read_text("utf-8")) - kept
    return None if most == "max" else max(0, int(most) - taken)


def _entry(file: Path, name: str, unit: int = 1) -> int | None:
    """Return the number that follows a name in a file, in bytes; None where it is not there."""
    if not file.is_file():
        return None
    lines = (line.split() for line in file.read_text("utf-8").splitlines())
    return next((int(words[1]) * unit for words in lines if words[:1] == [name]), None)
