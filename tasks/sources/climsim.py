"""ClimSim's low-resolution set (leap-stc/ClimSim, NeurIPS 2023): the columns of a climate model and
what its storm-resolving part makes of them in 20 minutes.

In: the folder of its files, `E3SM-MMF.mli.YYYY-MM-DD-SSSSS.nc` with the state before and
`…mlo…` with the state after, each one time step of 384 columns with 60 levels. Out: a row a column
and time. Inputs are in the files' own units. Tendencies are (after - before) / 1200 s. Each target
is multiplied by its variable's scale, the one number for all its levels that the authors weigh
variables by: errors of different variables and levels then compare.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import DataError
from tasks.storage import digest

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.sources.callables import Made

SECONDS = 1200.0
INPUTS = ("state_t", "state_q0001", "state_ps", "pbuf_SOLIN", "pbuf_LHFLX", "pbuf_SHFLX")
STATES = ("state_t", "state_q0001")
SCALES = {
    "ptend_t": 1004.64,
    "ptend_q0001": 2_834_700.0,
    "cam_out_NETSW": 0.0024,
    "cam_out_FLWDS": 0.005,
    "cam_out_PRECSC": 12_441_600.0,
    "cam_out_PRECC": 1_313_280.0,
    "cam_out_SOLS": 0.005,
    "cam_out_SOLL": 0.0046,
    "cam_out_SOLSD": 0.0061,
    "cam_out_SOLLD": 0.0095,
}
"""What each target is multiplied by, as in the authors' output_scale.nc."""
CENTURIES = 2000
"""Years that are added to the model's: its year 1 becomes 2001."""


def climsim(folder: str, every: int = 1) -> "Made":
    """Return the rows of every `every`-th time step below `folder`, in order of time."""
    from tasks.sources.callables import Made

    pairs = _pairs(Path(folder))[:: max(1, every)]
    files = [file for pair in pairs for file in pair]
    stats = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return Made(digest([stats, every]), lambda: _reader(pairs))


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the files before and after, by time. Raises DataError where one lacks the other."""
    before = sorted(folder.rglob("*.mli.*.nc"), key=lambda file: file.name)
    if not before:
        raise DataError(
            f"expected ClimSim's files *.mli.*.nc below {folder.absolute()}, there are none; say "
            "where yours are: --set source.options.folder=FOLDER"
        )
    pairs = [(file, file.with_name(file.name.replace(".mli.", ".mlo."))) for file in before]
    alone = [one.name for one, other in pairs if not other.is_file()]
    if alone:
        raise DataError(f"{len(alone)} of ClimSim's files have no .mlo. beside them: {alone[0]}")
    return pairs


def _reader(pairs: list[tuple[Path, Path]]) -> "pa.RecordBatchReader":
    import pyarrow as pa

    batches = (_batch(*pair) for pair in pairs)
    first = next(batches)
    return pa.RecordBatchReader.from_batches(first.schema, _all(first, batches))


def _all(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    for batch in rest:
        yield batch.cast(first.schema)


def _batch(before: Path, after: Path) -> "pa.RecordBatch":
    """Return the rows of one time step."""
    import pyarrow as pa

    inputs, outputs = _variables(before, INPUTS), _variables(after, (*STATES, *_FLAT))
    columns: dict[str, Any] = {}
    for name in INPUTS:
        columns |= _spread(name, inputs[name])
    for name, scale in SCALES.items():
        state = f"state_{name.removeprefix('ptend_')}"
        change = name.startswith("ptend_")
        found = (outputs[state] - inputs[state]) / SECONDS if change else outputs[name]
        columns |= _spread(name, found * scale)
    count = inputs["state_ps"].shape[-1]
    times = np.full(count, _moment(before))
    return pa.record_batch({"time": times, "ncol": np.arange(count)} | columns)


_FLAT = tuple(name for name in SCALES if name.startswith("cam_out_"))


def _variables(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return variables in float64, levels first. Raises DataError where one is not there."""
    try:
        import xarray as xr

        with xr.open_dataset(file, engine="netcdf4", decode_times=False, cache=False) as found:
            lacking = [name for name in names if name not in found.variables]
            if lacking or not {"ncol", "lev"} <= set(found.sizes):
                raise DataError(
                    f"{file}: expected the variables {', '.join(names)} over lev and ncol, "
                    f"came without {', '.join(lacking) or 'these dimensions'}"
                )
            order = {name: [d for d in ("lev", "ncol") if d in found[name].dims] for name in names}
            return {n: found[n].squeeze().transpose(*order[n]).values.astype(np.float64)
                    for n in names}  # fmt: skip
    except ModuleNotFoundError as error:
        raise DataError(
            f"the package {error.name} is not installed: pip install 'polycast[xarray]'"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def _spread(name: str, values: Any) -> dict[str, Any]:
    """Return a variable's columns: one, or one a level."""
    if values.ndim == 1:
        return {name: np.ascontiguousarray(values)}
    return {f"{name}_{i}": np.ascontiguousarray(level) for i, level in enumerate(values)}


def _moment(file: Path) -> np.datetime64:
    """Return the time in a file's name: `….mli.0001-02-01-01200.nc`."""
    try:
        year, month, day, second = file.name.split(".")[-2].split("-")
        date = np.datetime64(f"{int(year) + CENTURIES:04d}-{month}-{day}", "us")
        return date + np.timedelta64(int(second), "s")
    except ValueError:
        raise DataError(
            f"expected a name such as E3SM-MMF.mli.0001-02-01-01200.nc, came {file.name}"
        ) from None
