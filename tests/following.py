"""Runs on a Prefect server, started and followed over its HTTP interface."""

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Found = dict[str, Any]
LOOK = 0.25


@dataclass(frozen=True)
class Following:
    """A server's HTTP interface, by its address, such as http://127.0.0.1:4200/api."""

    address: str

    def ask(self, path: str, asked: Found | None = None) -> Any:
        """Return the answer to a query. Raises OSError where the server is away."""
        data = None if asked is None else json.dumps(asked).encode()
        request = urllib.request.Request(f"{self.address}{path}", data)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment and return its id."""
        found = self.ask(f"/deployments/name/{deployment}")
        asked: Found = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        asked["idempotency_key"] = uuid.uuid4().hex  # SQLite's lock on a busy machine: ask again
        path = f"/deployments/{found['id']}/create_flow_run"
        run = self.until(lambda: self.ask(path, asked), "the run was taken", within=60)
        return str(run["id"])

    def run(self, run: str) -> Found:
        """Return a run as it is now."""
        found: Found = self.ask(f"/flow_runs/{run}")
        return found

    def children(self, run: str) -> list[Found]:
        """Return the runs that a run has begun: its training, oldest first."""
        asked = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}
        found: list[Found] = self.ask("/flow_runs/filter", asked)
        return sorted(found, key=lambda r: str(r["created"]))

    def stages(self, run: str) -> dict[str, str]:
        """Return the type of the state that each stage of a run is in, by the stage's name."""
        asked = {"task_runs": {"flow_run_id": {"any_": [run]}}}
        found = self.ask("/task_runs/filter", asked)
        return {str(r["name"]).rsplit("-", 1)[0]: str(r["state_type"]) for r in found}

    def until(self, true: Callable[[], Any], what: str, within: float = 180.0) -> Any:
        """Return what `true` returns once it is something, though the server may be away."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                if found := true():
                    return found
            except OSError:
                pass
            time.sleep(LOOK)
        raise AssertionError(f"{what}: not within {within:.0f} s")

    def trains(self, run: str) -> Found:
        """Return the training of a run, once it runs."""

        def running() -> Found | None:
            return next((r for r in self.children(run) if r["state_type"] == "RUNNING"), None)

        found: Found = self.until(running, "the training of the run began")
        return found

    def ended(self, run: str, within: float = 300.0) -> Found:
        """Return a run that has come to an end which is no crash."""

        def end() -> Found | None:
            found = self.run(run)
            return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None

        found: Found = self.until(end, f"the run {run} ended", within)
        return found

    def wait_for_workers(self, *pools: str) -> None:
        """Return when a worker of each pool is online."""

        def online() -> bool:
            return all(self.ask(f"/work_pools/{p}")["status"] == "READY" for p in pools)

        self.until(online, f"workers of {', '.join(pools)} were online")
