"""Draft: look at a file and write a commented contract that runs as it is.

In: a file that a source reads, and the names of its targets. Out: a Draft: the contract's text,
what was found to warn of, and where it goes. Raises DataError for data of which no contract can
be made, WrongRequest for a wish that does not fit them.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.draft.content import Wish
from tasks.draft.plan import planned
from tasks.draft.writing import written
from tasks.errors import DataError, WrongRequest

__all__ = ["Draft", "Wish", "draft", "save"]


@dataclass(frozen=True)
class Draft:
    """A contract in words, not yet written."""

    file: Path
    text: str
    warnings: tuple[str, ...]
    rows: int
    features: int
    left: int
    """Columns that are left out."""


def draft(wish: Wish) -> Draft:
    """Look at the data and return the draft. Raises DataError and WrongRequest."""
    if wish.out.exists() and not wish.force:
        raise WrongRequest(f"{wish.out} is there already: choose another --out, or say --force")
    plan = planned(wish)
    text = written(plan)
    _checked(text)
    active = [m for m in plan.features if not m.left]
    left = len(plan.features) - len(active)
    return Draft(wish.out, text, tuple(plan.warnings), plan.rows, len(active), left)


def save(made: Draft, force: bool) -> None:
    """Write a draft whole; one that is there already stays unless forced. Raises WrongRequest."""
    made.file.parent.mkdir(parents=True, exist_ok=True)
    part = made.file.with_name(f".{made.file.name}.part")
    part.write_text(made.text, "utf-8")
    try:
        if force:
            part.replace(made.file)
        else:
            made.file.hardlink_to(part)
    except FileExistsError:
        raise WrongRequest(
            f"{made.file} is there already: choose another --out, or say --force"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _checked(text: str) -> None:
    """Raise DataError where a draft is no contract: then some name or value is too odd for one."""
    import yaml
    from pydantic import ValidationError

    from data_contracts.contract import Contract
    from data_contracts.errors import refusals

    try:
        Contract.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, r.path))}: expected {r.expected}"
                         for r in refusals(error)[:3])  # fmt: skip
        raise DataError(f"no contract can be drafted of these columns: {said}") from None
    except yaml.YAMLError as error:
        raise DataError(f"no contract can be drafted of these names: {error}") from None
