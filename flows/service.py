"""A server or worker of `polycast up`: started under guard, and started again when it ends."""

import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from flows.guard import guarded
from flows.server import ServerFault, wait_for

TRIES = 3
"""How often a service is started again within the window before it counts as broken."""
WINDOW = 300.0
"""Seconds of that window."""


@dataclass
class Service:
    """What to run, and its process while it runs."""

    name: str
    command: list[str]
    """Run as `python -m COMMAND`."""
    environment: Mapping[str, str]
    log: Path
    health: str | None = None
    """The address that answers once the service is up; None where there is none."""
    process: "subprocess.Popen[bytes] | None" = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the process; `wait` says when it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.process = self._stack.enter_context(guarded(self.command, self.log, self.environment))

    def wait(self) -> None:
        """Return when the service answers. Raises ServerFault."""
        if self.health is not None and self.process is not None:
            wait_for(self.process, self.health, self.log)

    def ask_to_stop(self) -> None:
        """Tell the process to end, and do not wait for it."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def stop(self) -> None:
        """End the process and all that it started."""
        self._stack.close()

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended by itself, else None."""
        return self.process.poll() if self.process is not None else None

    def start_again(self) -> None:
        """Start the service again. Raises ServerFault where it keeps ending."""
        code = self.ended()
        self.stop()
        now = time.monotonic()
        self._restarts = [t for t in self._restarts if now - t < WINDOW] + [now]
        if len(self._restarts) > TRIES:
            raise ServerFault(
                f"{self.name} ended {len(self._restarts)} times within {WINDOW / 60:.0f} minutes, "
                f"last with code {code}: see {self.log}"
            )
        self.start()


def stop_all(services: Iterable[Service]) -> None:
    """End services side by side; return when all are gone."""
    found = list(services)
    for service in found:
        service.ask_to_stop()
    for service in found:
        service.stop()
