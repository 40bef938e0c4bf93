"""Which faults pass by themselves, so that it helps to wait and to try again."""

import errno

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


def passes(error: BaseException) -> bool:
    """Say whether a fault may pass by itself: one of a network or a disk, not of what is asked."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:  # a server of HTTP has answered
        return bool(status >= 500)
    if isinstance(error, FileNotFoundError | PermissionError | FileExistsError):
        return False  # S3's come without a number
    if isinstance(error, OSError):
        return error.errno not in LASTING
    names = {f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(error).__mro__}
    return bool(names & NETWORK)
