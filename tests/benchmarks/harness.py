"""What every benchmark shares: its options, its table, the machine, flat JSON, outside data."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

VERSIONS = ("tensorflow", "keras", "prefect", "mlflow", "duckdb", "great-expectations", "numpy")

FILE_WIDTH = 120
"""How wide tables are where the output is no terminal."""

Figures = dict[str, float | str]


def run(
    measure: Callable[[bool], Figures],
    about: str,
    words: Sequence[str] | None = None,
    table: Callable[[Figures], Table] | None = None,
) -> None:
    """Measure, print a table, and write the same figures as flat JSON where asked.

    `table` makes a benchmark's own table of its figures.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="every figure within two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(words)
    show(measure(options.quick), about, options.json, table)


def show(
    figures: Figures,
    about: str,
    file: Path | None = None,
    table: Callable[[Figures], Table] | None = None,
) -> None:
    """Print a table of the figures and the machine, and write both as flat JSON where asked."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(table(figures) if table else _plain(figures, about))
    console.print(machine(), style="dim")
    if file:
        file.write_text(json.dumps(figures | {"machine": machine()}, indent=1), "utf-8")


def _plain(figures: Figures, about: str) -> Table:
    table = Table("figure", "value", title=about)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3f}" if isinstance(value, float) else str(value))
    return table


def peak_bytes() -> int:
    """Return the most memory that this process took.

    Not `ru_maxrss`: Linux counts there what the parent held when it started this process.
    """
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return next(int(line[1]) * 1024 for line in lines if line and line[0] == "VmHWM:")


def machine() -> str:
    """Return the machine and the versions in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    processor = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores, {processor}, Python {platform.python_version()}, {versions}"


def outside(name: str, console: Console | None = None) -> Path | None:
    """Return an outside data set's JSON description, or None, saying that it is skipped."""
    folder = os.environ.get("POLYCAST_BENCH_DATA")
    file = Path(folder) / f"{name}.json" if folder else None
    if file is None or not file.is_file():
        why = "POLYCAST_BENCH_DATA is not set" if folder is None else f"not in {folder}"
        (console or Console()).print(f"skipped: {name} ({why})")
        return None
    return file
