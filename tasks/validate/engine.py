"""Great Expectations on DuckDB: one validation run over the Parquet file, read in place.

In: Checks and the rows' file. Out: one Outcome per check. Writes no file and fetches nothing.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.database import literal, quoted
from tasks.validate.check import Check

_SHARE = "expect_column_proportion_of_non_null_values_to_be_between"
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
    """`_row` of the rows that break it, at most as many as were asked for."""
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

    Of each row-level check it names the first `most` bad rows. Most checks hold, so what is asked
    first is whether they do, which is a few queries for all; the bad rows are asked of the others.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral", project_config=_project())
    source = _source(context, _view(file, schema, checks), file)
    table = source.add_table_asset("rows", table_name="rows")
    try:
        batch = table.add_batch_definition_whole_table("rows").get_batch()
        library = _library(checks)
        by_row, whole = ([e for e in library if _is_map(e) is kind] for kind in (True, False))
        result = _asked(batch, whole, {"result_format": "COMPLETE"})
        short = _asked(batch, by_row, {"result_format": "BOOLEAN_ONLY"}).results
        broken = {_place(r) for r in short if not r.success}
        again = [e for e in by_row if e.meta["check"] in broken]
        found = _asked(batch, again, _format(most)).results if again else []
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()
    shares = _shares(result)
    held = [_held(r, checks[_place(r)], shares) for r in short if r.success]
    return _together(result, [*result.results, *held, *found])


def _asked(batch: Any, expectations: list[Any], form: dict[str, Any]) -> Any:
    import great_expectations as gx

    copies = [e.copy() for e in expectations]
    suite = gx.ExpectationSuite("contract", expectations=copies)
    return batch.validate(suite, result_format=form)


def _is_map(expectation: Any) -> bool:
    """Say whether an expectation is of single rows, or of pairs or groups of them."""
    return getattr(expectation, "map_metric", None) is not None


def _place(result: Any) -> int:
    """Return the number of the check that a result is of."""
    return int(result.expectation_config.meta["check"])


def _held(short: Any, check: Check, shares: Mapping[str, float]) -> Any:
    """Return the result of a row-level check that holds, with what the library would have said.

    `shares` are the columns' shares of cells with a value.
    """
    short.result = {"unexpected_count": 0, "unexpected_percent": 0.0, "partial_unexpected_list": []}
    if len(check.columns) == 1 and (share := shares.get(check.columns[0])) is not None:
        short.result["missing_percent"] = 100 * (1 - share)
    return short


def _shares(result: Any) -> dict[str, float]:
    return {
        r.expectation_config.kwargs["column"]: r.result["observed_value"]
        for r in result.results
        if r.expectation_config.type == _SHARE and not r.exception_info.get("raised_exception")
    }


def _together(result: Any, results: list[Any]) -> Any:
    """Return one result of all checks, in their order."""
    result.results = sorted(results, key=_place)
    good = sum(bool(r.success) for r in results)
    result.success = good == len(results)
    result.statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": good,
        "unsuccessful_expectations": len(results) - good,
        "success_percent": 100 * good / len(results) if results else None,
    }
    return result


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
