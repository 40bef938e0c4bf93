"""Which rows a candidate has seen, as hashes of 64 bits of their keys: `seen.parquet`.

A version keeps them, so that a later candidate is compared with it on rows that it has never
seen. The hash is the same on every machine, whatever the columns' Arrow types are: whole numbers
hash alike as int32, as float64 and as text, moments alike in every unit, and the order of the
key's columns does not count. Two of ten million keys share a hash with a chance of 1 in 370,000.
"""

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.learning.tables import as_table

if TYPE_CHECKING:
    from data_contracts.contract import Contract

Hashes = NDArray[np.uint64]

SEEN_SPLITS = ("train", "validation", "calibration")
"""The splits whose rows a candidate has seen."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_WHOLE, _FRACTION, _MOMENT, _TEXT, _MISSING = (np.uint64(i) for i in range(1, 6))
_WHOLE_TEXT = "^(0|-?[1-9][0-9]{0,17})$"
"""Text that says a whole number in the one way in which numbers are written, within 64 bits."""


def key_hashes(contract: "Contract", table: pa.Table) -> Hashes:
    """Return the hash (n,) of each row's key. To ask what a version has seen, give its contract.

    Raises ValueError that names a key column which is not there, or whose values have no hash.
    """
    names = sorted(contract.key)
    found: Hashes = np.zeros(len(table), dtype=np.uint64)
    for name, column in zip(names, as_table(table, names).columns, strict=True):
        found = _mixed((found + _STEP) ^ _cells(name, column))
    return found


def write_seen(contract: "Contract", blocks: Iterable[pa.Table], file: Path) -> None:
    """Write the hashes of raw rows, given in blocks, sorted and each once, into a Parquet file."""
    hashes = [key_hashes(contract, block) for block in blocks]
    found = np.unique(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)
    about = {"key": json.dumps(sorted(contract.key))}
    pq.write_table(pa.table({"key_hash": found}).replace_schema_metadata(about), file)


def read_seen(file: Path) -> Hashes:
    """Return the sorted hashes (n,) of the rows that were seen."""
    hashes: Hashes = pq.read_table(file).column("key_hash").to_numpy()
    return hashes


def seen_key(file: Path) -> tuple[str, ...]:
    """Return the key columns, sorted, by which the rows that were seen were hashed."""
    return tuple(json.loads(pq.read_schema(file).metadata[b"key"]))


def _mixed(values: Hashes) -> Hashes:
    """Spread 64 bits over 64 bits, one to one (SplitMix64: Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _tagged(values: NDArray[Any], tag: np.uint64) -> Hashes:
    return _mixed(_mixed(values.view(np.uint64)) + tag)


def _cells(name: str, column: pa.ChunkedArray) -> Hashes:
    """Return a hash (n,) of the values of one key column."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    known = ~pc.is_null(values, nan_is_null=True).to_numpy(False)
    found = _tagged(np.zeros(len(values), np.uint64), _MISSING)
    found[known] = _known(name, values.filter(pa.array(known)))
    return found


def _known(name: str, values: pa.Array) -> Hashes:
    """Hash values of which none is missing."""
    kind, types = values.type, pa.types
    if types.is_timestamp(kind) or types.is_date(kind):
        moments = pc.cast(values, pa.timestamp("us"), safe=False)
        return _tagged(pc.cast(moments, pa.int64()).to_numpy(), _MOMENT)
    if types.is_integer(kind) or types.is_boolean(kind):
        return _tagged(pc.cast(values, pa.int64(), safe=False).to_numpy(False), _WHOLE)
    if types.is_floating(kind) or (types.is_decimal(kind) and kind.scale > 0):
        return _floats(pc.cast(values, pa.float64(), safe=False).to_numpy())
    return _texts(name, values)


def _floats(values: NDArray[np.float64]) -> Hashes:
    whole = (np.trunc(values) == values) & (np.abs(values) < 2.0**63)
    found = _tagged(values, _FRACTION)
    found[whole] = _tagged(values[whole].astype(np.int64), _WHOLE)
    return found


def _texts(name: str, values: pa.Array) -> Hashes:
    """Hash each different text, or what can be written as text, once."""
    try:
        binary = pa.types.is_binary(values.type) or pa.types.is_fixed_size_binary(values.type)
        texts = pc.cast(values, pa.binary() if binary else pa.string())
    except pa.ArrowException:
        raise ValueError(f"{name}: expected a key that can be hashed, came {values.type}") from None
    coded = texts.dictionary_encode()
    different = coded.dictionary
    raw = [v if isinstance(v, bytes) else v.encode() for v in different.to_pylist()]
    digests = b"".join(blake2b(v, digest_size=8).digest() for v in raw)
    found: Hashes = _tagged(np.frombuffer(digests, "<u8").astype(np.uint64), _TEXT)
    if not binary:
        whole = pc.match_substring_regex(different, _WHOLE_TEXT).to_numpy(False)
        numbers = pc.cast(different.filter(pa.array(whole)), pa.int64())
        found[whole] = _tagged(numbers.to_numpy(), _WHOLE)
    each: Hashes = found[coded.indices.to_numpy()]
    return each
