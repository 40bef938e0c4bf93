"""Moves of the alias `champion` by a person: promote, and rollback with a reason that is kept.

In: a model's name, a version's number, who and why. Out: the move as the journal has it.
"""

from tasks import registry
from tasks.chosen import chosen
from tasks.errors import DataError, WrongRequest
from tasks.journal import Kind, Move, mend, movable, move
from tasks.registry import Version
from tasks.rollbacks import rollback_of, rollback_tag

ROLLED_BACK = registry.ROLLED_BACK_TAG


def promote(model: str, number: str, by: str, reason: str = "") -> Move | None:
    """Make a version champion; None where it is already.

    Whatever said that it was rolled back is forgotten: a retrain may publish its candidate again.
    Raises WrongRequest for a version that is not there or not complete, DataError for one that
    cannot be champion, ChampionMoved where somebody else moves the alias meanwhile.
    """
    mend(model)
    return _moved(_fit(model, number), registry.champion(model), "promote", by, reason)


def rollback(model: str, number: str | None, by: str, reason: str) -> Move | None:
    """Make `previous`, or the version that is named, champion again; None where it is already.

    The version that was champion is tagged with who, when and why, so that no retrain publishes
    its candidate again. Raises as `promote` does.
    """
    mend(model)
    target = _fit(model, number) if number else _previous(model)
    current = registry.champion(model)
    if current is None or current.version == target.version:
        return _moved(target, current, "rollback", by, reason)
    # Before the move: were the process killed in between, nothing would say why it was made.
    value = rollback_tag(by, reason)
    registry.client().set_model_version_tag(model, current.version, ROLLED_BACK, value)
    try:
        return _moved(target, current, "rollback", by, reason)
    except Exception:
        registry.client().delete_model_version_tag(model, current.version, ROLLED_BACK)
        raise


def _previous(model: str) -> Version:
    """Return the version that the alias `previous` names, unless somebody has taken it back."""
    found = registry.aliased(registry.client(), model, registry.PREVIOUS)
    if found is None:
        raise WrongRequest(
            f"{model} has no version with the alias previous: name the version to go back to"
        )
    if (taken := rollback_of(found)) is not None:
        raise WrongRequest(
            f"previous is version {found.version}, which was rolled back {taken.words} "
            f"({taken.when}): name the version to go back to"
        )
    return _fit(model, found.version)


def _fit(model: str, number: str) -> Version:
    """Return a version that may become champion. Raises WrongRequest or DataError."""
    chosen(model, number)
    found = movable(model, number)
    if (day := found.tags.get(registry.AS_OF_TAG)) is not None:
        raise DataError(
            f"{model} version {number} was made as of {day}, to be compared with: it has not seen "
            "the rows since, and was judged by none of them. Name another version"
        )
    return found


def _moved(
    target: Version, current: Version | None, kind: Kind, by: str, reason: str
) -> Move | None:
    if ROLLED_BACK in target.tags:
        registry.client().delete_model_version_tag(target.model, target.version, ROLLED_BACK)
    before = current.version if current else None
    if before == target.version:
        return None
    return move(target.model, target.version, before=before, kind=kind, by=by, reason=reason)
