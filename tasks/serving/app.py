"""The scoring server's application: MLflow's, with bounds, and with errors in words.

It speaks MLflow's protocol (`/invocations`, `/ping`, `/version`). What is asked wrongly is
answered with a status of 4xx and `{"error_code": …, "message": …}`: no traceback, and no copy of
what came. `X-Polycast-Version` names the version that answered.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tasks.serving.strict import Strict, said
from tasks.uses import using

if TYPE_CHECKING:
    from tasks.registry import Version

MOST_BYTES = 32 << 20
"""The longest body that is read."""
LONGEST = 500
"""The most characters of MLflow's own words on an error."""
TYPES = ("application/json", "text/csv", "application/vnd.apache.parquet")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def served(version: "Version") -> tuple[App, dict[str, Any]]:
    """Return the application that answers with one registered version, which is loaded, and a row
    of values for JSON that it can answer."""
    import mlflow

    from tasks.registry import client

    client()
    model = mlflow.pyfunc.load_model(f"models:/{version.model}/{version.version}")
    return application(model, f"{version.model}/{version.version}")


def application(model: Any, name: str) -> tuple[App, dict[str, Any]]:
    """Return the application that answers with a loaded MLflow model, and a row that it can
    answer. `name` says which version it is."""
    from mlflow.pyfunc import scoring_server

    strict: Any = Strict(model, model.unwrap_python_model().bundle)
    return Bounded(scoring_server.init(strict), name), _example(strict, model.input_example)


def _example(strict: Strict, rows: Any) -> dict[str, Any]:
    """Return the first row of an input example that is answered, the first where none is."""
    parts = [rows.iloc[i : i + 1] for i in range(len(rows))]
    good = next((part for part in parts if not strict.faults(part)), parts[0])
    found: dict[str, Any] = json.loads(good.to_json(orient="records", date_format="iso"))[0]
    return found


class TooMuch(Exception):
    """A body that is longer than what is read."""


class Bounded:
    """An ASGI application around MLflow's: it reads no endless body, and tells faults in words."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != "/invocations":
            await self._app(scope, receive, send)
            return
        told = _Told(send, self._name)
        headers = {k.decode().lower(): v.decode("latin-1") for k, v in scope["headers"]}
        kind = headers.get("content-type", "").split(";")[0].strip()
        if scope["method"] == "POST" and kind not in TYPES:
            await told.refuse(415, f"content-type: expected {', '.join(TYPES)}, came {kind!r}")
            return
        try:
            body = await _body(receive, headers)
        except TooMuch as much:
            await told.refuse(413, str(much))
            return
        if fault := _unreadable(kind, body):
            await told.refuse(400, fault)
            return
        token = said.set(told.words)
        try:
            await self._app(scope, _once(body), told)
        except RecursionError:
            await told.refuse(
                400,
                "the body: expected JSON as /invocations takes it, came one in "
                "which brackets stand within brackets without end",
            )
            return
        finally:
            said.reset(token)
        await told.finish()


async def _body(receive: Receive, headers: dict[str, str]) -> bytes:
    """Return the whole body. Raises TooMuch for one that is longer than MOST_BYTES."""
    much = (
        f"the body: expected at most {MOST_BYTES >> 20} MiB; use `polycast predict` for many rows"
    )
    if int(headers.get("content-length") or 0) > MOST_BYTES:
        raise TooMuch(much)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > MOST_BYTES:
            raise TooMuch(much)
    return b"".join(parts)


def _once(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _unreadable(kind: str, body: bytes) -> str:
    """Return why a body is no text of its kind; empty where it may be, or is no text."""
    if kind == TYPES[-1]:
        return ""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        came = f"byte {error.object[error.start]:#04x} at {error.start}"
        return f"the body: expected text in UTF-8, came {came}"
    return no_number(body) if kind == TYPES[0] else ""


def no_number(body: bytes) -> str:
    """Return what is wrong with a JSON body that holds NaN or Infinity, which Python reads and
    JSON does not have; empty where nothing is."""
    if not any(name in body for name in (b"NaN", b"Infinity")):
        return ""
    found: list[str] = []
    try:
        json.loads(body, parse_constant=found.append)
    except (ValueError, RecursionError):
        return ""  # MLflow says what is wrong with it.
    return f"{found[0]} is no JSON: write null for a missing value" if found else ""


class _Told:
    """Sends an answer on; one of a fault is held back, and sent in words."""

    def __init__(self, send: Send, name: str) -> None:
        self._send = send
        self._name = name
        self._fault: int | None = None
        self._body = b""
        self.words: list[str] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400:
                self._fault = int(message["status"])
                return
            named = (b"x-polycast-version", self._name.encode())
            message = {**message, "headers": [*message["headers"], named]}
        elif self._fault is not None:
            self._body += message.get("body", b"")
            return
        await self._send(message)

    async def finish(self) -> None:
        """Send the fault that was held back, where there is one."""
        if self._fault is not None:
            await self.refuse(self._fault, self.words[0] if self.words else _first(self._body))

    async def refuse(self, status: int, words: str) -> None:
        """Answer with a status and words."""
        code = {413: "REQUEST_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}.get(status, "BAD_REQUEST")
        body = json.dumps({"error_code": code, "message": words}, ensure_ascii=False).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-polycast-version", self._name.encode()),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _first(body: bytes) -> str:
    """Return the beginning of MLflow's own words, without the input that follows them."""
    try:
        content = json.loads(body)
        words = content.get("message") or content.get("detail") or str(content)
    except (ValueError, AttributeError):
        words = body.decode("utf-8", "replace")
    return str(words).split("\nInput:")[0].split(" IMPORTANT: ")[0].strip()[:LONGEST]


class Current:
    """An ASGI application that passes on to a version's, which may change while it runs.

    It is a context: on its end the version is no longer in use.
    """

    def __init__(self, version: "Version") -> None:
        self._lease = ExitStack()
        self.load(version)

    def load(self, version: "Version") -> None:
        """Let a version answer from the next request on; until it is loaded, the one before."""
        with ExitStack() as lease:
            lease.enter_context(using(version.model, version.version, "serve"))
            app, example = served(version)
            before, self._lease = self._lease, lease.pop_all()
        self.version, self.example, self._app = version, example, app
        before.close()

    def __enter__(self) -> "Current":
        return self

    def __exit__(self, *_: object) -> None:
        self._lease.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)
