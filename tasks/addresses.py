"""Addresses and messages without what is secret in them.

A password may come in an address (`https://user:password@host`) or in the environment. Whatever is
shown, logged or kept is held against both first.
"""

import os
import re
from base64 import b64encode
from urllib.parse import quote, unquote

_USER = re.compile(r"(?<=://)[^/\s]*@")
_NAMED = re.compile(r"(?i)\b(\w*(?:password|passwd|secret|token)\w*=)[^&;\s]+")
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY|KEY_ID|AUTH_STRING)$")
_PASSWORD = re.compile(r"://[^/\s:]*:([^/\s]*)@")
_NAMED_PASSWORD = re.compile(r"(?i)\bpassword\s*=\s*('[^']*'|\S+)")
_hidden: set[str] = set()
LEAST = 4
"""Letters of a secret: a shorter one is in any text."""


def shown(address: str) -> str:
    """Return an address without its user, its password, and secrets among its options."""
    return _NAMED.sub(r"\1…", _USER.sub("", address))


def clean(text: str) -> str:
    """Return a text without secrets: no user in an address, no password of the environment."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "…")
    return shown(text)


def hide(address: str) -> None:
    """Have `clean` leave out an address, and a password in it, wherever it came from."""
    passwords = [*_PASSWORD.findall(address), *_NAMED_PASSWORD.findall(address)]
    _hidden.update({address, *(p.strip("'") for p in passwords)})


def clean_error(error: BaseException) -> None:
    """Take secrets out of the messages of an error and of all that led to it."""
    seen: list[BaseException] = []
    behind: list[BaseException | None] = [error]
    while behind:
        one = behind.pop()
        if one is not None and one not in seen:
            seen.append(one)
            one.args = tuple(clean(a) if isinstance(a, str) else a for a in one.args)
            behind += [one.__cause__, one.__context__]


def _secrets() -> set[str]:
    """Return the secrets in the environment as they may be written; none so short that it is in
    any text."""
    plain: set[str] = {*_hidden, *map(unquote, _hidden)}
    for name, value in os.environ.items():
        passwords = _PASSWORD.findall(value)
        if _SECRET.search(name):
            passwords += [value, value.partition(":")[2]]
        plain |= {*passwords, *map(unquote, passwords)}
    plain = {secret for secret in plain if len(secret) >= LEAST}
    quoted = {quote(secret, safe="") for secret in plain}
    return plain | quoted | {b64encode(secret.encode()).decode() for secret in plain}
