"""What a version was made with, as far as that was recorded, against what is installed here."""

import json
from pathlib import Path
from typing import Any

from tasks import registry
from tasks.environment import environment
from tasks.models.comparing import ABSENT, Change
from tasks.models.entries import Entry

FILE = "environment.json"


def package_changes(entry: Entry) -> list[Change] | None:
    """Return Python, platform and packages that differ here; None where they are not recorded."""
    then = _recorded(entry)
    if then is None:
        return None
    now = environment()
    pairs = [(name, str(then.get(name, ABSENT)), str(now[name])) for name in ("python", "platform")]
    was, have = then.get("packages", {}), now["packages"]
    names = dict.fromkeys([*was, *have])
    pairs += [(name, was.get(name, ABSENT), have.get(name, ABSENT)) for name in names]
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _recorded(entry: Entry) -> dict[str, Any] | None:
    """Return what is kept with the version, or else with the MLflow run that made it."""
    file = registry.kept_file(entry.model, entry.version, FILE) or _of_run(entry)
    if file is None:
        return None
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _of_run(entry: Entry) -> Path | None:
    from mlflow.exceptions import MlflowException

    if entry.run is None:
        return None
    try:
        client = registry.client()
        names = {f.path for f in client.list_artifacts(entry.run)}
        return Path(client.download_artifacts(entry.run, FILE)) if FILE in names else None
    except MlflowException:  # somebody has deleted the run
        return None
