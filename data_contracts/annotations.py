"""Two annotations for a section's fields, whose errors read better than pydantic's own.

`Annotated[str, Matching(regex, words)]` is text of one form.
`Annotated[A | B, ChosenBy(key)]` is one of several sections, told apart by a key's value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from data_contracts.section import Section, refused

TAG = "\0"
"""Starts each part of an error's location that ChosenBy put there; no YAML key can hold it."""


@dataclass(frozen=True)
class Matching:
    """Text that `regex` matches from end to end; an error says so in `words`."""

    regex: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^(?:{self.regex})$"}

    def _checked(self, text: str) -> str:
        if re.fullmatch(self.regex, text) is None:
            raise refused(self.words, text)
        return text


@dataclass(frozen=True)
class ChosenBy:
    """One of the sections that the annotated union names, chosen by the value of `key`.

    Each of them gives `key` a Literal of its own. `default` stands in for an absent key.
    """

    key: str
    default: str | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        options = {self._value(option): option for option in get_args(source) or (source,)}
        choices = {TAG + value: handler.generate_schema(o) for value, o in options.items()}
        return core_schema.tagged_union_schema(
            choices,
            self._tag(set(options)),
            custom_error_type="unknown_option",
            custom_error_message="{expected}",
            custom_error_context={"key": self.key, "expected": ", ".join(options)},
        )

    def _value(self, option: type[Section]) -> str:
        return str(get_args(option.model_fields[self.key].annotation)[0])

    def _tag(self, known: set[str]) -> Callable[[Any], str | None]:
        def tag(value: Any) -> str | None:
            if isinstance(value, dict):
                found = value.get(self.key, self.default)
            else:
                found = getattr(value, self.key, None)
            return TAG + found if isinstance(found, str) and found in known else None

        return tag
