"""Prefect's own SQLite database, which is whole or made anew.

Prefect makes its tables in many steps as its server first starts. A server that is killed amid
them, or a disk that runs full, leaves a file with which no server starts again. It holds nothing
yet, so it is removed before the next start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_database(folder: Path) -> Iterator[None]:
    """Start Prefect's server in the block, until it answers; `folder` is its PREFECT_HOME.

    One server at a time makes the tables: a second one starts when the first answers.
    """
    from filelock import FileLock

    unmade = folder / "database.unmade"
    with FileLock(folder / "database.lock"):
        if unmade.exists() or not (folder / "prefect.db").exists():
            for file in folder.glob("prefect.db*"):
                file.unlink()
            unmade.touch()
        yield
        unmade.unlink(missing_ok=True)
