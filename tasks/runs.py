"""Run folders: what one run wrote, whole when its manifest is there, newest found first."""

from tasks.records import Run
from tasks.storage import Storage, home


def runs(dataset: str) -> list[Run]:
    """Return the complete runs of a dataset, newest first."""
    storage = Storage(home())
    found = (storage.manifest(place) for place in reversed(storage.places(f"runs/{dataset}")))
    return [Run.model_validate(manifest["record"]) for manifest in found if manifest is not None]


def latest(dataset: str) -> Run | None:
    """Return the newest complete run of a dataset, or None."""
    storage = Storage(home())
    for place in reversed(storage.places(f"runs/{dataset}")):
        manifest = storage.manifest(place)
        if manifest is not None:
            return Run.model_validate(manifest["record"])
    return None
