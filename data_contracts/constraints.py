"""Constraints: linear relations between columns that hold in every row.

`dewp <= temp`, `a + b + c == total`, `2*a - 0.5*b >= 10`: sums of columns and numbers, each
column with a number and `*` before it or none, on both sides of `<=`, `>=` or `==`. A column
whose name is not of letters, digits, `_` and `.` stands in double quotes: `"dew point" <= temp`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from data_contracts.section import Section, refused

RELATIVE = 1e-6
"""The slack of a relation without a tolerance, as a share of the size of its terms."""
ROUNDING = 1e-9
"""What is never taken for broken, as a share of the same: sums of floats are not exact."""
FORM = "sums of columns and numbers with <=, >= or == between them, such as 2*a - b <= 10"
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_COLUMN = r'"[^"]+"|[^\W\d][\w.]*'
_TERM = rf"(?:(?P<number>{_NUMBER})(?:\s*\*\s*(?P<times>{_COLUMN}))?|(?P<column>{_COLUMN}))"
_TERMS = re.compile(rf"\s*(?P<sign>[+-]?)\s*{_TERM}\s*(?=[+-]|\Z)")
_SIDES = re.compile(r'((?:"[^"]*"|[^"<>=])*)(<=|>=|==)((?:"[^"]*"|[^"<>=])*)')


@dataclass(frozen=True)
class Linear:
    """The sum of coefficient * column and of `constant`, which is at most 0; 0 where `equal`."""

    coefficients: Mapping[str, float]
    """By column, in the order of the text; none is 0."""
    constant: float = 0.0
    equal: bool = False

    @property
    def plain(self) -> bool:
        """Whether it compares one column with another as they are: `a <= b`."""
        ones = sorted(self.coefficients.values()) == [-1.0, 1.0]
        return ones and self.constant == 0 and not self.equal

    @property
    def sides(self) -> tuple[str, str]:
        """The lesser column and the greater one of a plain relation."""
        lesser, greater = sorted(self.coefficients, key=lambda c: -self.coefficients[c])
        return lesser, greater


@dataclass
class _Sum:
    constant: float = 0.0
    coefficients: dict[str, float] = field(default_factory=dict)


def parse(text: str) -> Linear:
    """Return what a constraint's text says, everything on one side.

    Raises the error of a refused value where it says nothing of a column or is of another form.
    """
    sides = _SIDES.fullmatch(text)
    if sides is None:
        raise refused(FORM, text, _hint(text))
    left, relation, right = sides.groups()
    turn = -1.0 if relation == ">=" else 1.0
    total = _Sum()
    for side, sign in ((left, turn), (right, -turn)):
        for column, value in _terms(side, text):
            if column is None:
                total.constant += sign * value
            else:
                total.coefficients[column] = total.coefficients.get(column, 0.0) + sign * value
    coefficients = {c: v for c, v in total.coefficients.items() if v}
    if not coefficients:
        raise refused("a constraint on at least one column", text, "its columns cancel out")
    if not all(map(math.isfinite, (*coefficients.values(), total.constant))):
        raise refused("finite numbers in a constraint", text)
    return Linear(coefficients, total.constant + 0.0, relation == "==")


def _terms(side: str, text: str) -> Iterator[tuple[str | None, float]]:
    """Yield the column (None for a plain number) and the number of each term."""
    at = 0
    while at < len(side) or at == 0:
        term = _TERMS.match(side, at)
        if term is None or (at > 0 and not term["sign"]):
            raise refused(FORM, text, _hint(text))
        sign = -1.0 if term["sign"] == "-" else 1.0
        column = term["times"] or term["column"]
        yield column and column.strip('"'), sign * float(term["number"] or 1)
        at = term.end()


def _hint(text: str) -> str:
    if re.fullmatch(r"[^<>=]*(<|>|=)[^<>=]*", text):
        return "write <= for <, >= for > and == for ="
    if "/" in text or ")" in text or "**" in text:
        return "write each term as number*column, without brackets and divisions"
    if re.search(r"[0-9]\s+[^\W\d]|[0-9][^\W\deE]", text):
        return "write 2*a for 2 a"
    return ""


class Constraint(Section):
    """A relation between columns: its text alone, or `{holds: TEXT, …}`."""

    holds: str
    """The relation: `dewp <= temp`, `a + b + c == total`, `2*a - 0.5*b >= 10`."""
    enforce: bool = False
    """Whether every prediction is made to hold it, by the smallest change in units of each
    target's scale. Otherwise it is checked in the rows and counted in predictions alone."""
    tolerance: float | None = Field(default=None, gt=0)
    """How far the two sides may be apart, or the lesser above the greater, in the unit of the
    columns. When absent, nothing for one column against another (`a <= b`), and else one
    millionth of the size of the terms, which covers the rounding of 32-bit numbers."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"holds": value} if isinstance(value, str) else value

    @field_validator("holds")
    @classmethod
    def _parsed(cls, text: str) -> str:
        parse(text)
        return re.sub(r'("[^"]*")|\s+', lambda found: found[1] or " ", text.strip())

    @cached_property
    def linear(self) -> Linear:
        """What `holds` says."""
        return parse(self.holds)

    @property
    def sides(self) -> tuple[str, str, str]:
        """The left side, the relation and the right side, as text."""
        found = _SIDES.fullmatch(self.holds)
        left, relation, right = found.groups() if found else ("", "", "")
        return left.strip(), relation, right.strip()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, in order."""
        return tuple(self.linear.coefficients)


class _OrText:
    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        text = {"type": "string", "title": "Text", "description": f"{FORM[0].upper()}{FORM[1:]}."}
        return {"anyOf": [text, handler(schema)]}


Declared = Annotated[Constraint, _OrText()]
"""A constraint as a contract holds it: text, or a mapping."""
