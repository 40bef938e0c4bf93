"""The base of every contract section: strict, frozen, and closed to unknown keys."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Strict(False)]
"""A list in YAML, held as a tuple so that a contract stays immutable."""

Column = Annotated[str, Field(min_length=1, description="a column of the source's query")]
Share = Annotated[float, Field(ge=0.0, le=1.0, description="a share of rows, from 0 to 1")]


class Section(BaseModel):
    """A part of a contract. Unknown keys are refused with the nearest known ones."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        unknown = set(data) - set(cls.model_fields) if isinstance(data, dict) else None
        if not unknown:
            return handler(data)
        errors = [_unknown_key(key, list(cls.model_fields)) for key in data if key in unknown]
        try:
            handler({key: value for key, value in data.items() if key not in unknown})
        except ValidationError as error:
            errors += _details(error)
        raise ValidationError.from_exception_data(cls.__name__, errors)


@dataclass(frozen=True)
class Refusal:
    """A value that a contract may not hold: where, what was expected and what came."""

    path: tuple[str | int, ...]
    """The keys that lead to the value from the section that refuses it."""
    expected: str
    got: Any
    hint: str = ""


def refused(expected: str, got: Any, hint: str = "") -> PydanticCustomError:
    """Return the error by which a validator refuses the value that it was given."""
    return PydanticCustomError(
        "refused", "{expected}", {"expected": expected, "got": got, "hint": hint}
    )


def all_refused(title: str, refusals: Iterable[Refusal]) -> ValidationError:
    """Return the error by which a validator of a section refuses values inside it."""
    details = [
        InitErrorDetails(type=refused(r.expected, r.got, r.hint), loc=r.path, input=r.got)
        for r in refusals
    ]
    return ValidationError.from_exception_data(title, details)


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `did you mean 'x'?` for the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def _unknown_key(key: Any, known: list[str]) -> InitErrorDetails:
    context = {
        "expected": f"one of: {', '.join(sorted(known)) or 'none yet'}",
        "hint": did_you_mean(str(key), known),
    }
    custom = PydanticCustomError("unknown_key", "{expected}", context)
    return InitErrorDetails(type=custom, loc=(str(key),), input=key)


def _details(error: ValidationError) -> list[InitErrorDetails]:
    return [
        InitErrorDetails(
            type=PydanticCustomError(e["type"], e["msg"], e.get("ctx")),
            loc=e["loc"],
            input=e["input"],
        )
        for e in error.errors(include_url=False)
    ]
