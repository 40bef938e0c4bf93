"""Divide rows into train, validation, calibration and test, in SQL over the snapshot.

Random and group splits hash the key or the group, so that a row keeps its split from snapshot
to snapshot. In strata, few rows change theirs.
"""

import math
from collections.abc import Sequence
from typing import Any

from data_contracts.contract import Contract
from data_contracts.split import (
    SPLITS,
    BlockedSplit,
    ColumnSplit,
    GroupSplit,
    RandomSplit,
    StratifiedSplit,
    TimeSplit,
    seconds,
)
from tasks.database import literal, quoted
from tasks.errors import DataError
from tasks.records import REFIT, fold_name

LEAST_ROWS = 10
"""The fewest rows that train, validation and test need each."""
NEEDED = ("train", "validation", "test")


def split_sql(contract: Contract, table: str) -> str:
    """Return SQL that yields `_row` and `split` for each row of `table`."""
    split = contract.split
    match split:
        case TimeSplit():
            return _by_time(split, quoted(contract.time or ""), table)
        case BlockedSplit():
            return _by_blocks(split, quoted(contract.time or ""), table)
        case StratifiedSplit():
            return _by_strata(split, contract.key, table)
        case RandomSplit():
            return _by_hash(split.shares, split.seed, contract.key, table)
        case GroupSplit():
            return _by_hash(split.shares, split.seed, split.columns, table)
        case ColumnSplit():
            name = quoted(split.column)
            return f"SELECT _row, lower({name}::VARCHAR) AS split FROM {table}"


def _by_hash(shares: tuple[float, ...], seed: int, columns: tuple[str, ...], table: str) -> str:
    """Cut the hashes, even over keys, where the shares fall.

    Their digits are compared as text, which is twice as fast as to make numbers of them.
    """
    placed = f"SELECT _row, {_md5(str(seed), columns)} AS place FROM {table}"
    cuts = [literal(_digits(cut)) for cut in _cuts(shares)]
    return f"SELECT _row, {_cases('place', cuts)} AS split FROM ({placed})"


def _digits(cut: float) -> str:
    """Return the least 52 bits, in hexadecimal, that are no less than a share of all of them."""
    bits = math.ceil(cut * 2**52)
    return f"{bits:013x}" if bits < 2**52 else "g"


def hash_sql(seed: str, columns: tuple[str, ...]) -> str:
    """Return SQL for the first 52 bits of an MD5 of some columns: a number even over keys."""
    return f"('0x' || left({_md5(seed, columns)}, 13))::BIGINT"


def _md5(seed: str, columns: tuple[str, ...]) -> str:
    parts = ", ".join(f"coalesce({quoted(c)}::VARCHAR, '')" for c in columns)
    return f"md5(concat_ws(chr(31), {literal(seed)}, {parts}))"


def _by_time(split: TimeSplit, time: str, table: str) -> str:
    """Cut where the shares of rows fall in order of time; rows soon after a cut are `gap`.

    Rows of one moment share a split, since the cuts are moments.
    """
    cuts = ", ".join(f"{c!r}" for c in _cuts(split.shares)[:-1])
    gap = seconds(split.gap)
    moment = f"(epoch_us({time}) / 1e6)"
    late = " OR ".join(f"(place > cuts[{i}] AND place <= cuts[{i}] + {gap})" for i in (1, 2, 3))
    ordered = " ".join(
        f"WHEN place <= cuts[{i}] THEN {literal(name)}" for i, name in enumerate(SPLITS[:-1], 1)
    )
    label = f"CASE WHEN {gap} > 0 AND ({late}) THEN 'gap' {ordered} ELSE 'test' END"
    return (
        f"SELECT _row, {label} AS split FROM "
        f"(SELECT _row, {moment} AS place FROM {table}), "
        f"(SELECT quantile_disc({moment}, [{cuts}]) AS cuts FROM {table})"
    )


def _by_blocks(split: BlockedSplit, time: str, table: str) -> str:
    """Cut into blocks of as many rows, and leave out what is soon after a cut between splits.

    Rows of one moment share a block. Between two rows of different splits there is such a cut, and
    the later one is further from it than the gap.
    """
    dealt, gap = split.dealt, seconds(split.gap)
    cuts = ", ".join(repr(i / split.blocks) for i in range(1, split.blocks))
    moment = f"(epoch_us({time}) / 1e6)"
    changes = [i for i in range(1, split.blocks) if dealt[i] != dealt[i - 1]]
    late = " OR ".join(f"(place > cuts[{i}] AND place <= cuts[{i}] + {gap})" for i in changes)
    ordered = " ".join(
        f"WHEN place <= cuts[{i}] THEN {literal(name)}" for i, name in enumerate(dealt[:-1], 1)
    )
    label = f"CASE WHEN {gap} > 0 AND ({late}) THEN 'gap' {ordered} ELSE {literal(dealt[-1])} END"
    return (
        f"SELECT _row, {label} AS split FROM "
        f"(SELECT _row, {moment} AS place FROM {table}), "
        f"(SELECT quantile_disc({moment}, [{cuts}]) AS cuts FROM {table})"
    )


def _by_strata(split: StratifiedSplit, key: tuple[str, ...], table: str) -> str:
    """Cut each stratum of a target, in the order of the key's hash, where the shares fall."""
    placed = (
        "SELECT _row, (row_number() OVER (PARTITION BY stratum ORDER BY hash, _row) - 0.5) / "
        f"count(*) OVER (PARTITION BY stratum) AS place "
        f"FROM ({strata_sql(split, key, table, str(split.seed))})"
    )
    return f"SELECT _row, {_cases('place', _cuts(split.shares))} AS split FROM ({placed})"


def strata_sql(split: StratifiedSplit, key: tuple[str, ...], table: str, seed: str) -> str:
    """Return SQL that yields `_row`, `hash` and `stratum`: 0 where the target has no value."""
    value = f"CASE WHEN isfinite({quoted(split.target)}::DOUBLE) THEN {quoted(split.target)} END"
    hashed = f"SELECT _row, {value} AS value, {hash_sql(seed, key)} AS hash FROM {table}"
    stratum = (
        f"CASE WHEN value IS NOT NULL THEN ntile({split.strata}) OVER "
        "(PARTITION BY value IS NULL ORDER BY value, hash, _row) ELSE 0 END"
    )
    return f"SELECT _row, hash, {stratum} AS stratum FROM ({hashed})"


def _cuts(shares: tuple[float, ...]) -> list[float]:
    return [sum(shares[: i + 1]) for i in range(len(shares))]


def _cases(value: str, cuts: Sequence[float | str]) -> str:
    whens = " ".join(
        f"WHEN {value} < {cut} THEN {literal(name)}"
        for cut, name in zip(cuts[:-1], SPLITS[:-1], strict=True)
    )
    return f"CASE {whens} ELSE 'test' END"


def check_counts(contract: Contract, counts: dict[str, int], division: str = "") -> None:
    """Raise DataError where a split has too few rows, or a name that is no split.

    `division` is the fold or the refit whose rows they are, where there are several.
    """
    strange = sorted(str(s) for s in counts if s not in (*SPLITS, "gap"))
    if strange:
        raise DataError(
            f"split.column holds {', '.join(strange[:5])}; expected {', '.join(SPLITS)} or gap"
        )
    mend = "change the shares or the gap"
    if division:
        mend = "lower evaluation.folds, or change the shares, the gap or the groups"
    for name in ("train", "validation") if division == fold_name(REFIT) else NEEDED:
        if counts.get(name, 0) < LEAST_ROWS:
            shown: Any = ", ".join(f"{s} {counts.get(s, 0):,}" for s in SPLITS)
            where = f" in {division}" if division else ""
            raise DataError(
                f"too few rows to split: {name} has {counts.get(name, 0)}{where}, and needs at "
                f"least {LEAST_ROWS} ({shown}, gap {counts.get('gap', 0):,}). Bring more rows, or "
                f"{mend} of {contract.dataset}'s split"
            )
