"""Which faults pass by themselves, so that it helps to wait and to try again."""

import errno
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LASTING = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Faults of a file system that stay until somebody does something about them."""
NETWORK = {
    "aiohttp.ClientError",
    "botocore.ConnectionError",
    "botocore.HTTPClientError",
    "httpx.TransportError",
    "urllib3.HTTPError",
}
"""Faults of a network that are no OSErrors, by package and class: few are loaded at a time."""
PATIENCE = 60.0
"""Seconds that a registry may be busy or away before it is given up."""

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("polycast")


def passes(error: BaseException) -> bool:
    """Say whether a fault may pass by itself: one of a network or a disk, not of what is asked."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:  # a server of HTTP has answered
        return bool(status >= 500)
    if isinstance(error, FileNotFoundError | PermissionError | FileExistsError):
        return False  # S3's come without a number
    if isinstance(error, OSError):
        return error.errno not in LASTING
    if code := getattr(error, "error_code", None):
        return _passes_in_mlflow(str(code), str(error))
    names = {f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(error).__mro__}
    return bool(names & NETWORK)


def _passes_in_mlflow(code: str, said: str) -> bool:
    """A database that is locked or away, and two that wrote one key at once: the second finds it
    when it tries again."""
    at_once = any(name in said for name in ("IntegrityError", "UniqueViolation"))
    return code == "TEMPORARILY_UNAVAILABLE" or (code == "BAD_REQUEST" and at_once)


def patiently(ask: Callable[P, R], *asked: P.args, **more: P.kwargs) -> R:
    """Return what is answered; what may pass by itself is asked again, for PATIENCE seconds."""
    start, wait = time.monotonic(), 0.1
    while True:
        try:
            return ask(*asked, **more)
        except Exception as error:
            if not passes(error) or time.monotonic() - start > PATIENCE:
                raise
            log.debug("asked again: %s", error)
            time.sleep(wait)
            wait = min(2 * wait, 5.0)
