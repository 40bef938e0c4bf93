"""YAML as a person would write it: one entry a line, with a comment behind it."""

import re
from typing import Any

import yaml


def name(text: str) -> str:
    """Return text as a YAML scalar, plain where that reads back as the same text."""
    if (
        re.fullmatch(r"[A-Za-z0-9_./]([A-Za-z0-9_./ -]{0,80}[A-Za-z0-9_/])?", text)
        and yaml.safe_load(text) == text
    ):
        return text
    escapes = {'"': '\\"', "\\": "\\\\"}
    letters = (
        escapes.get(c) or (c if c.isprintable() and ord(c) < 0xFFFE else f"\\U{ord(c):08x}")
        for c in text
    )
    return f'"{"".join(letters)}"'


def flow(value: Any) -> str:
    """Return a value on one line: `{unit: "?", bounds: [0, 1]}`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        return name(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):  # YAML reads 1e-07 as text
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return str(value)


def line(text: str, note: str = "", width: int = 64) -> str:
    """Return a line with a comment behind it."""
    return f"{text.ljust(width)}  # {note}" if note else text
