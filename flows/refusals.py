"""Servers and storage that refuse a client: who it was, and which setting lets the client in."""

import os
import ssl
from collections.abc import Iterator, Sequence

from tasks.addresses import shown
from tasks.storage import home

PREFECT = "the Prefect server"
MLFLOW = "the MLflow server"
STORAGE = "the storage root"
ADDRESSES = {
    PREFECT: ("PREFECT_API_URL",),
    MLFLOW: ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"),
    STORAGE: ("POLYCAST_HOME", "AWS_ENDPOINT_URL"),
}
"""The settings that say where each of them is."""
KEYS = {
    PREFECT: "PREFECT_API_AUTH_STRING to its user:password, or PREFECT_API_KEY",
    MLFLOW: "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    STORAGE: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may read and write there",
}
CERTIFICATES = {
    PREFECT: "PREFECT_API_SSL_CERT_FILE",
    MLFLOW: "MLFLOW_TRACKING_SERVER_CERT_PATH",
    STORAGE: "AWS_CA_BUNDLE",
}
DENIED = (401, 403)


def refusal(error: Exception) -> str | None:
    """Say who refused and what to do about it; None where an error is no refusal.

    A refusal is a password or keys that are not taken, or a certificate that is not known here.
    """
    chain = list(_chain(error))
    who = _who(chain)
    if who is None:
        return None
    for fault in chain:
        if isinstance(fault, ssl.SSLError):
            return _of_certificate(who, fault)
    if _denied(chain):
        return f"{_named(who)} refuses this client: set {KEYS[who]}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


def _who(chain: Sequence[BaseException]) -> str | None:
    """Return whom the errors are about, by the packages that they come from."""
    packages = {type(fault).__module__.split(".")[0] for fault in chain}
    if "mlflow" in packages:
        return MLFLOW
    if packages & {"prefect", "httpx"}:
        return PREFECT
    if packages & {"aiohttp", "botocore"}:
        return STORAGE
    return None


def _denied(chain: Sequence[BaseException]) -> bool:
    """Say whether a server has answered that this client may not."""
    return any(
        getattr(getattr(fault, "response", None), "status_code", None) in DENIED
        or any(f"error code {number} " in str(fault) for number in DENIED)
        or isinstance(fault, PermissionError)
        for fault in chain
    )


def _named(who: str) -> str:
    """Return who it is, and the addresses that the settings give."""
    given = [os.environ.get(name) for name in ADDRESSES[who]]
    root = [home()] if who == STORAGE and not given[0] else []
    found = [shown(address) for address in [*root, *given] if address]
    return f"{who} {' at '.join(dict.fromkeys(found))}".rstrip()


def _of_certificate(who: str, fault: ssl.SSLError) -> str:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return (
            f"{_named(who)} shows a certificate that is not known here "
            f"({fault.verify_message}): set {CERTIFICATES[who]} to the file of the certificate, "
            "or of the authority that signed it"
        )
    told = fault.reason or str(fault)
    return f"{_named(who)} does not speak TLS as asked ({told}): correct http:// or https://"
