"""Which rows of a statement its database is asked for: those from a moment on.

In: a contract, and what the last snapshot keeps of a source that grows. Out: a condition with a
bound value, for the database itself. The rows that hold it are all that are needed; there may be
more. Raises DataError where the statement yields no usable time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from data_contracts.duration import seconds
from data_contracts.source import moment
from tasks.database import quoted
from tasks.errors import DataError
from tasks.growing import Kept, earlier

if TYPE_CHECKING:
    import pyarrow as pa

Bound = tuple[str, list[Any]]
"""What to write after a statement, and the values that it asks for."""
Ask = Callable[[str], Any]
"""Returns the one value that a statement answers."""
ISO = "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"


class NoTime(DataError):
    """A statement yields no time to ask by."""


@dataclass(frozen=True)
class Cut:
    """The rows of a statement from a moment on, or of a window before the newest."""

    time: str
    """The column, of the statement's, that says when a row was observed."""
    asks: str
    """The setting that asks for it."""
    last: Kept | None = None
    """What the last snapshot keeps, where rows are read from `last.since` on."""
    window: int = 0
    """Else how many seconds before the newest row."""

    def sqlite(self, select: str, names: list[str], ask: Ask) -> Bound:
        """Return the same where times are text: its day decides, which is the same in all of ISO
        8601, and a day more is read, for zones. What is no such text is read too."""
        time = f"answer.{quoted(self._found(names))}"
        dated = f"typeof({time}) = 'text' AND {time} GLOB {ISO}"
        start = self._start(lambda: ask(f"SELECT max({time}) FROM {select} WHERE {dated}"))
        if start is None:
            return "", []
        day = earlier(start, 86_400).date().isoformat()
        return f" WHERE NOT ({dated} AND {time} < $1)", [day]

    def typed(self, select: str, schema: "pa.Schema", ask: Ask) -> Bound:
        """Return it where columns have types, in that of the time."""
        import pyarrow.types as types

        name = self._found(schema.names)
        time, kind = f"answer.{quoted(name)}", schema.field(name).type
        if not types.is_timestamp(kind) and not types.is_date(kind):
            raise self._unusable(f"it comes as {kind}")
        start = self._start(lambda: ask(f"SELECT max({time}) FROM {select}"))
        if start is None:
            return "", []
        value: date = start if getattr(kind, "tz", None) else start.replace(tzinfo=None)
        value = start.date() if types.is_date(kind) else value
        return f" WHERE {time} >= $1 OR {time} IS NULL", [value]

    def _start(self, newest: Callable[[], Any]) -> datetime | None:
        if self.last is not None:
            return self.last.since
        try:
            return earlier(moment(newest()), self.window)
        except ValueError:  # there is no row, or none whose time can be read
            return None

    def _found(self, names: list[str]) -> str:
        """Return the column's name as the database writes it."""
        found = [name for name in names if name.lower() == self.time.lower()]
        if not found:
            raise self._unusable("there is none")
        return found[0]

    def _unusable(self, came: str) -> DataError:
        return NoTime(
            f"source.{self.asks} needs the time column {quoted(self.time)} as a timestamp or a "
            f"date in source.statement: {came}"
        )


def cut_of(contract: Contract, last: Kept | None) -> Cut | None:
    """Return what to ask of a contract's database; None for all rows.

    A window is asked for where the rows are the statement's: a query may look further back.
    """
    source = contract.source
    if contract.time is None or source.as_of is not None:
        return None
    if last is not None:
        return Cut(contract.time, "incremental", last)
    if source.window is not None and source.query is None:
        return Cut(contract.time, "window", window=seconds(source.window))
    return None
