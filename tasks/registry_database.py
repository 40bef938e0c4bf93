"""MLflow's own database, which is whole or not there.

MLflow makes its tables in many steps. A process that is killed amid them, or a disk that runs
full, would leave a file that MLflow can neither use nor mend.
"""

import os
import uuid
from contextlib import suppress
from pathlib import Path


def make_database(file: Path) -> None:
    """Make MLflow's tables in a SQLite file where it is not there yet.

    Of several processes that make it at once, the first to be done wins.
    """
    if file.exists():
        return
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    engine = create_engine(f"sqlite:///{draft}")
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]  # MLflow's
        engine.dispose()
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        engine.dispose()
        draft.unlink(missing_ok=True)
