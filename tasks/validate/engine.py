"""Great Expectations on DuckDB: one validation run over the Parquet file, read in place.

In: Checks and the rows' file. Out: one Outcome per check. Writes no file and fetches nothing.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.database import literal, quoted
from tasks.validate.check import Check
from tasks.validate.counts import TABLE, Metrics, counted

SHOWN = 5
"""How many unexpected values of an expectation are kept in its result."""
_SEVERITY = {"stop": "critical", "quarantine": "warning", "warn": "info"}


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    check: Check
    success: bool
    unexpected: int = 0
    """Rows that break it."""
    missing: int | None = None
    """Rows that it says nothing about, their cell being empty."""
    observed: Any = None
    rows: list[int] = field(default_factory=list)
    """`_row` of the rows that break it and are set aside, at most as many as were asked for."""
    first: int | None = None
    """`_row` of the first row that breaks it, whatever becomes of it; None where no row does."""
    released: int = 0
    """Rows that break it and that somebody has let through; they do not count as unexpected."""
    error: str = ""
    """Why it could not be checked, where it could not."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's warnings and log off the terminal: what matters is in the result."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def run(checks: Sequence[Check], file: Path, schema: pa.Schema, most: int) -> Any:
    """Return Great Expectations' result, an ExpectationSuiteValidationResult.

    Of each row-level check it names the first `most` bad rows. Most checks hold, and those it
    judges by what was counted for all at once; the others it looks into by itself.
    """
    from great_expectations import __version__
    from great_expectations.core import ExpectationSuiteValidationResult

    library, view = _library(checks), _view(file, schema, checks)
    counts = counted(checks, file, view)
    found = {p: r for p, c in counts.items() if (r := _judged(library[p], c)) is not None}
    rest = [e for place, e in enumerate(library) if place not in found]
    found |= {_place(r): r for r in (_by_itself(rest, file, view, most) if rest else ())}
    results = [found[place] for place in range(len(checks))]
    good = sum(bool(r.success) for r in results)
    return ExpectationSuiteValidationResult(
        success=good == len(results),
        results=results,
        suite_name="contract",
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": good,
            "unsuccessful_expectations": len(results) - good,
            "success_percent": 100 * good / len(results) if results else None,
        },
        meta={"great_expectations_version": __version__},
    )


def _judged(expectation: Any, metrics: Metrics) -> Any:
    """Return the library's result by its metrics, or None where rows break the expectation."""
    from great_expectations.core import ExpectationValidationResult

    if kind := getattr(expectation, "map_metric", None):
        if metrics[f"{kind}.unexpected_count"]:
            return None
        metrics = {**metrics, f"{kind}.unexpected_values": []}
    # The library's own validator comes to this too, by way of a graph of all metrics.
    said = expectation._validate(metrics, {"result_format": {"result_format": "BASIC"}})
    return ExpectationValidationResult(**said, expectation_config=expectation.configuration)


def _by_itself(expectations: list[Any], file: Path, view: str, most: int) -> list[Any]:
    """Return the library's results of expectations that it counts for itself."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral", project_config=_project())
    source = _source(context, view, file)
    table = source.add_table_asset(TABLE, table_name=TABLE)
    try:
        batch = table.add_batch_definition_whole_table(TABLE).get_batch()
        suite = gx.ExpectationSuite("contract", expectations=expectations)
        return list(batch.validate(suite, result_format=_format(most)).results)
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _place(result: Any) -> int:
    """Return the number of the check that a result is of."""
    return int(result.expectation_config.meta["check"])


def outcomes(checks: Sequence[Check], result: Any) -> list[Outcome]:
    """Return what came of each check, in their order."""
    found = {r.expectation_config.meta["check"]: r for r in result.results}
    return [_outcome(check, found[i]) for i, check in enumerate(checks)]


def trim(result: Any) -> None:
    """Drop from the library's result all but a few unexpected values."""
    for one in result.results:
        for name in ("unexpected_list", "unexpected_index_list", "partial_unexpected_index_list"):
            one.result.pop(name, None)
        for name in ("partial_unexpected_list", "partial_unexpected_counts"):
            if name in one.result:
                one.result[name] = sorted(one.result[name], key=str)[:SHOWN]


def _project() -> Any:
    """Return the settings of a context that keeps everything in memory and draws no bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _source(context: Any, view: str, file: Path) -> Any:
    from sqlalchemy.dialects import registry
    from sqlalchemy.pool import StaticPool

    from tasks.validate.dialect import Dialect

    registry.register("polycast", Dialect.__module__, Dialect.__name__)
    options = {"rows": str(file), "view": view}
    return context.data_sources.add_sql(
        "duckdb",
        connection_string="polycast:///:memory:",
        kwargs={
            "connect_args": options,
            "poolclass": StaticPool,
            "pool_reset_on_return": None,
        },
    )


def _view(file: Path, schema: pa.Schema, checks: Sequence[Check]) -> str:
    """Return SQL for the file's rows, true and false as 1 and 0: DuckDB compares no others.

    The columns that checks derive come after its own.
    """
    flags = [quoted(f.name) for f in schema if pa.types.is_boolean(f.type)]
    casts = ", ".join(f"CAST({name} AS TINYINT) AS {name}" for name in flags)
    replaced = f" REPLACE ({casts})" if flags else ""
    plain = f"read_parquet({literal(str(file))})"
    derived = [
        f", {sql.replace('{rows}', plain)} AS {quoted(name)}"
        for name, sql in (c.derived for c in checks if c.derived)
    ]
    return f"SELECT *{replaced}{''.join(derived)} FROM {plain}"


def _library(checks: Sequence[Check]) -> list[Any]:
    import great_expectations.expectations as library

    return [
        getattr(library, check.expectation)(
            **check.options,
            severity=_SEVERITY[check.severity],
            description=check.words,
            meta={"check": i},
        )
        for i, check in enumerate(checks)
    ]


def _format(most: int) -> dict[str, Any]:
    return {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": ["_row"],
        "exclude_unexpected_values": True,
        "return_unexpected_index_query": False,
        "partial_unexpected_count": most,
    }


def _outcome(check: Check, found: Any) -> Outcome:
    values = found.result or {}
    index = values.get("unexpected_index_list") or [{"_row": []}]
    return Outcome(
        check=check,
        success=bool(found.success),
        unexpected=int(values.get("unexpected_count") or 0),
        missing=values.get("missing_count"),
        observed=values.get("observed_value"),
        rows=index[0]["_row"] if check.severity == "quarantine" else [],
        first=min(index[0]["_row"], default=None),
        error=_error(found.exception_info or {}),
    )


def _error(info: dict[str, Any]) -> str:
    """Return what the library caught, in a line; an empty string where it caught nothing."""
    for entry in (info, *(v for v in info.values() if isinstance(v, dict))):
        if entry.get("raised_exception"):
            text = f"{entry.get('exception_message')}\n{entry.get('exception_traceback')}"
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            ours = [line for line in lines if "_duckdb" in line and "Error" in line]
            named = [line for line in lines if "Error" in line]
            return next(iter([*ours, *reversed(named), *lines]), "an error without words")[:300]
    return ""
