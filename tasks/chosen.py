"""Which version is meant: the one that is named, or the champion."""

from tasks import registry
from tasks.errors import DataError, WrongRequest
from tasks.registry import Version


def chosen(model: str, number: str | None) -> Version:
    """Return the version that is to answer.

    Raises DataError where there is no champion, WrongRequest for a version that is not there or
    not whole.
    """
    if number is None:
        champion = registry.champion(model)
        if champion is None:
            raise DataError(f"{model} has no champion yet: retrain it, or name a --version")
        return champion
    found = registry.version(model, number)
    if found is None:
        raise WrongRequest(f"{model} has no version {number}; there are: {_known(model)}")
    if found.tags.get(registry.COMPLETE_TAG) != "true":
        raise WrongRequest(f"{model} version {number} is not complete: name another")
    return found


def _known(model: str) -> str:
    found = registry.versions(registry.client(), f"name = '{model}'")
    return ", ".join(sorted((v.version for v in found), key=int)) or "none"
