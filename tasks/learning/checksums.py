"""SHA256SUMS: the checksums of a folder's files, as `sha256sum -c SHA256SUMS` reads them.

In: a folder, and for a check the names in it that matter. Out: the file; or ValueError that names
what is not as it was.
"""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write_checksums(folder: Path) -> Path:
    """Write the checksums of all files in a folder into it, and return the file."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    lines = [f"{checksum(f)}  {f.relative_to(folder).as_posix()}\n" for f in files]
    made = folder / NAME
    made.write_text("".join(lines), "utf-8")
    return made


def check(sums: Path, folder: Path, only: str = "") -> None:
    """Hold the files in `folder` against checksums. `only`: one name in it, a file or a folder.

    Raises ValueError that names the first file which is missing, changed or not told of.
    """
    told = _told(sums)
    start = folder / only
    there = [start] if start.is_file() else [f for f in start.rglob("*") if f.is_file()]
    found = {f.relative_to(folder).as_posix() for f in there} - {NAME}
    wanted = {n for n in told if not only or n == only or n.startswith(f"{only}/")}
    for name in sorted(found | wanted):
        if name not in found:
            raise ValueError(f"{folder / name}: missing, though {NAME} names it")
        if told.get(name) != checksum(folder / name):
            raise ValueError(
                f"{folder / name}: its SHA-256 is not the one in {NAME}: the file was changed or "
                "damaged after it was published. Fetch it again, or use another version"
            )


def checksum(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _told(sums: Path) -> dict[str, str]:
    lines = sums.read_text("utf-8").splitlines()
    return {name: value for value, _, name in (line.partition("  ") for line in lines)}
