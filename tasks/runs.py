"""Run folders: what one run wrote, whole when its manifest is there, newest found first."""

from collections.abc import Iterator

from pydantic import ValidationError

from tasks.records import Run
from tasks.storage import root_storage


def runs(dataset: str) -> Iterator[Run]:
    """Yield the complete runs of a dataset, newest first."""
    storage = root_storage()
    for place in reversed(storage.places(f"runs/{dataset}")):
        manifest = storage.manifest(place)
        if manifest is None:
            continue
        try:
            yield Run.model_validate(manifest["record"])
        except ValidationError:
            # Written by another version of Polycast, whose records differ.
            continue
