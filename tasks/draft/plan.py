"""What goes into a draft: the columns' meanings, the key, the query, the split, the warnings.

In: a Wish. Out: a Plan. Reads the data by DuckDB: a query or two for all columns, one for the key,
one for the rows that copies and leads are looked for in.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.section import did_you_mean
from tasks.addresses import clean
from tasks.database import columns, first_line, quoted
from tasks.draft.content import Plan, Wish
from tasks.draft.dividing import division
from tasks.draft.facts import facts, one, types
from tasks.draft.keys import key
from tasks.draft.meanings import Meaning, meaning
from tasks.draft.revealing import leave_out, sample
from tasks.draft.source import at, odd_names
from tasks.errors import DataError, WrongRequest
from tasks.sources.located import Located, opened

if TYPE_CHECKING:
    import duckdb


def planned(wish: Wish) -> Plan:
    """Look at the data and return the plan. Raises DataError and WrongRequest."""
    import duckdb

    source, kind, path = at(wish.data, wish.dataset, wish.out.parent)
    plan = Plan(wish, kind, path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _look(plan, source, Path(folder))
    except duckdb.Error as error:
        raise DataError(f"{source.name} cannot be read: {clean(first_line(error))}") from None
    if all(m.left for m in plan.features):
        raise DataError(
            "no feature is left: every column is a target, a key, or left out ("
            + "; ".join(f"{m.name} {m.left}" for m in plan.features[:5])
            + "). Bring columns that the targets can be learned from"
        )
    return plan


def _look(plan: Plan, source: Located, folder: Path) -> None:
    with opened(source, folder) as (database, reader):
        database.execute(f"CREATE VIEW source AS SELECT * FROM {reader}")
        found = types(database)
        if source.misread is not None:
            source.misread(found)
        _named(plan, found)
        left = _open(plan, database, reader)
        plan.facts = facts(database)
        plan.rows = next((f.rows for f in plan.facts.values()), 0)
        if not plan.rows:
            raise DataError(f"{source.name} has no rows to look at")
        _targets(plan)
        _time(plan, database)
        wish = plan.wish
        plan.key = key(database, plan.facts, wish.key, plan.time, wish.group, wish.targets)
        plan.features = [*_meanings(plan), *left]
        leave_out(plan, sample(plan, database))
    _query(plan, {m.name for m in left})
    time, group = (plan.facts.get(name or "") for name in (plan.time, plan.wish.group))
    plan.split, plan.split_note = division(time, group, plan.key, plan.ahead)
    _warn(plan)


def _named(plan: Plan, have: dict[str, str]) -> None:
    """Raise WrongRequest for a name that is no column."""
    wish = plan.wish
    asked = {
        "--targets": wish.targets,
        "--time": (wish.time,) if wish.time else (),
        "--group": (wish.group,) if wish.group else (),
        "--key": wish.key,
    }
    for option, names in asked.items():
        for name in names:
            if name not in have:
                hint = did_you_mean(name, list(have)) or f"there are: {', '.join(list(have)[:20])}"
                raise WrongRequest(f"{option} {name}: no such column; {hint}")
    both = set(wish.targets) & {wish.time, wish.group, *wish.key}
    if both:
        raise WrongRequest(f"--targets {', '.join(sorted(map(str, both)))}: a target is no key")


def _open(plan: Plan, database: "duckdb.DuckDBPyConnection", reader: str) -> list[Meaning]:
    """Make the view `source` of the columns that a contract can name; return the others."""
    have = types(database)
    odd = odd_names(list(have))
    wish = plan.wish
    for name in (*wish.targets, *wish.key, *filter(None, (wish.time, wish.group))):
        if name in odd:
            raise DataError(f"{name} {odd[name]}: give it another name in the file")
    time = wish.time
    if time and have[time] == "VARCHAR":
        moment = f"TRY_CAST({quoted(time)} AS TIMESTAMP)"
        query = f"SELECT count({quoted(time)}), count({moment}) FROM source"
        texts, moments = one(database, query)
        if texts == moments > 0:
            plan.query_notes.append(f"{time} is text, read as a point in time")
            plan.query = f" REPLACE ({moment} AS {quoted(time)})"
    without = f" EXCLUDE ({columns(list(odd))})" if odd else ""
    shown = f"SELECT *{without}{plan.query} FROM {reader}"
    if len(odd) < len(have):
        database.execute(f"CREATE OR REPLACE VIEW source AS {shown}")
    return [Meaning(n, left=why) for n, why in odd.items()]


def _targets(plan: Plan) -> None:
    for name in plan.wish.targets:
        fact = plan.facts[name]
        empty = fact.type == '"NULL"'
        if fact.kind not in ("number", "flag") and not empty:
            raise DataError(f"{name}: expected a number as target, came {fact.type}")
        if not fact.known or (fact.kind == "number" and fact.least is None):
            raise DataError(f"{name}: expected a target with values, came none at all")
        if fact.constant:
            raise DataError(f"{name}: expected a target that varies, came one value in all rows")
        plan.targets[name] = fact


def _time(plan: Plan, database: "duckdb.DuckDBPyConnection") -> None:
    """Choose the column that orders rows: the given one, or the first that could."""
    given = plan.wish.time
    if given:
        fact = plan.facts[given]
        if fact.kind != "time" or not fact.known:
            raise WrongRequest(f"--time {given}: expected points in time, came {fact.type}")
        plan.time = given
        return
    if plan.wish.group:
        return
    for fact in plan.facts.values():
        if fact.kind == "time" and not (fact.missing or fact.infinite or fact.constant):
            plan.time = fact.name
            return


def _meanings(plan: Plan) -> list[Meaning]:
    """Return what each column means that is neither a target nor a number that the query adds."""
    others = [f for f in plan.facts.values() if f.name not in plan.targets]
    made = [meaning(f) for f in others]
    return [m if m.left else replace(m, left=_as_a_name(plan, m.name)) for m in made]


def _as_a_name(plan: Plan, column: str) -> str:
    """Return why a column that names rows is no feature; "" where it may be one."""
    fact = plan.facts[column]
    if column == plan.wish.group and plan.time is None:
        return "each split has other ones, as groups"
    many = fact.kind == "text" and fact.distinct > max(20, 0.2 * plan.rows)
    return "names each row, as part of the key" if many and column in plan.key.columns else ""


def _query(plan: Plan, odd: set[str]) -> None:
    """Write the query where the rows cannot be taken as they are."""
    left = [
        m.name
        for m in plan.features
        if m.name not in plan.key.columns and (m.name in odd or plan.facts[m.name].kind == "odd")
    ]
    needed = [
        *(c for c in plan.key.columns if c in plan.facts),
        *([plan.time] if plan.time else []),
    ]
    holes = [c for c in dict.fromkeys(needed) if plan.facts[c].missing]
    replaced = plan.query
    picked = f"*{f' EXCLUDE ({columns(left)})' if left else ''}{replaced}"
    if plan.key.number:
        picked += f", {plan.key.number} AS {quoted(plan.key.columns[-1])}"
    where = " AND ".join(f"{quoted(c)} IS NOT NULL" for c in holes)
    plan.query = ""
    if left or replaced or plan.key.number or holes:
        plan.query = f"SELECT {picked}\nFROM source" + (f"\nWHERE {where}" if where else "")
    for column in holes:
        count = plan.rows - plan.facts[column].known
        plan.query_notes.append(f"{count:,} rows without {column} are left out")


def _warn(plan: Plan) -> None:
    """Say what a user should know of the key and the split."""
    if plan.key.repeated:
        plan.warnings.append(
            f"{plan.key.repeated:,} rows share a key ({', '.join(plan.key.columns[:-1])}): copies "
            "of a row on both sides of a split would give targets away"
        )
    elif plan.key.number:
        plan.warnings.append(plan.key.note + ". Name what does with --key")
    if plan.split["kind"] == "group" and plan.wish.group:
        groups = plan.facts[plan.wish.group].distinct
        if groups < 20:
            plan.warnings.append(
                f"{plan.wish.group} has {groups} groups alone: the splits may miss their shares"
            )
