"""`python -m tests.benchmarks.nightly --datasets 100`: many datasets that are due at one minute.

A team's server and workers (`polycast up`) get that many small contracts, all scheduled for the
same minute. What is measured: the time until the last run has ended, and the processor time of
the Prefect server with its SQLite database, of the workers themselves, of the MLflow server, and
of the runs. The share of the first two is what scheduling costs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from flows.server import free_port
from tests.walk import command, surroundings, write_contract

TICK = os.sysconf("SC_CLK_TCK")


def write_contracts(folder: Path, count: int, due: datetime) -> None:
    """Write that many contracts of the same rows, all due at a minute (UTC)."""
    file = write_contract(folder)
    contract = yaml.safe_load(file.read_text("utf-8"))
    file.unlink()
    for number in range(count):
        contract["dataset"] = f"set_{number:03d}"
        contract["schedule"] = {"cron": f"{due.minute} {due.hour} * * *"}
        target = folder / "data_contracts" / f"{contract['dataset']}.yaml"
        target.write_text(yaml.safe_dump(contract, sort_keys=False, allow_unicode=True), "utf-8")


def ask(address: str, path: str, body: dict[str, Any]) -> Any:
    """Return the Prefect server's answer to a question."""
    request = urllib.request.Request(
        f"{address}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def ended(address: str) -> Counter[str]:
    """Return how many retrains have ended, by the names of their states."""
    found: Counter[str] = Counter()
    chosen = {
        "flows": {"name": {"any_": ["retrain"]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
    }
    for start in range(0, 10_000, 200):
        page = ask(address, "flow_runs/filter", chosen | {"limit": 200, "offset": start})
        found += Counter(run["state_name"] for run in page)
        if len(page) < 200:
            break
    return found


def processor_seconds(root: int) -> Counter[str]:
    """Return processor seconds under a process, by what it was spent on."""
    spent: Counter[str] = Counter()
    for pid in [root, *descendants(root)]:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        own, waited = (sum(map(int, stat[i : i + 2])) / TICK for i in (11, 13))
        line = " ".join(words)
        if "flows.guard" in line:
            spent["up and guards"] += own
        elif "prefect server start" in line:
            spent["Prefect server and database"] += own + waited
        elif "prefect worker start" in line:
            spent["workers"] += own
            spent["runs"] += waited
        elif "mlflow" in line:
            spent["MLflow server"] += own + waited
        elif pid == root:
            spent["up and guards"] += own
    return spent


def descendants(pid: int) -> list[int]:
    """Return the processes that a process and its children have started."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found += [child, *descendants(child)]
    return found


def measure(folder: Path, count: int, retrains: int, limit: float) -> None:
    """Run the night and print what it took."""
    ports = [str(free_port()), str(free_port())]
    # Whole minutes are due: the next one after all is registered, on a busy machine too.
    due = datetime.now(UTC) + timedelta(seconds=180 + count)
    write_contracts(folder, count, due)
    words = ["up", "--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "0"]
    up = subprocess.Popen(
        command(*words, "--retrains", str(retrains)),
        cwd=folder,
        env=surroundings({}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    try:
        for line in up.stdout:
            if line.startswith("Ready"):
                break
        address = f"http://127.0.0.1:{ports[0]}"
        print(f"ready; {count} datasets are due at {due:%H:%M} UTC", flush=True)
        start = due.replace(second=0, microsecond=0).timestamp()
        before = processor_seconds(up.pid)
        found = wait(address, count, start, limit)
        took = time.time() - start
        spent = processor_seconds(up.pid) - before
        report(count, retrains, took, found, spent)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(120)


def wait(address: str, count: int, start: float, limit: float) -> Counter[str]:
    """Return the ends of the runs, once all have ended or the limit (seconds) is reached."""
    said, found = 0, Counter[str]()
    while True:
        time.sleep(5)
        with suppress(OSError):  # a busy server: asked again
            found = ended(address)
        if found.total() >= said + 10:
            said = found.total()
            print(f"{said} ended after {time.time() - start:.0f} s", flush=True)
        if found.total() >= count or time.time() - start > limit:
            return found


def report(
    count: int, retrains: int, took: float, found: Counter[str], spent: Counter[str]
) -> None:
    """Print the table."""
    total = spent.total()
    print(f"\n{count} datasets, {retrains} at once, {os.cpu_count()} cores")
    print(f"ended: {dict(found)} after {took:.0f} s, {took / max(1, found.total()):.1f} s each")
    for name, seconds in spent.most_common():
        print(f"  {name:<28} {seconds:8.1f} CPU s  {seconds / total:6.1%}")
    share = (spent["Prefect server and database"] + spent["workers"]) / total
    print(f"scheduling (server, database, workers): {share:.1%} of the processor time")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=100)
    parser.add_argument("--retrains", type=int, default=2, help="at once")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightly-") as folder:
        measure(Path(folder), chosen.datasets, chosen.retrains, chosen.limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
