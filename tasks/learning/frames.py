"""What the published model answers with: a pandas frame, one row a raw row and one column a target,
with more columns to its right for what is asked for.

| asked | columns of a target `t` |
| --- | --- |
| `interval=0.9` | `t_low`, `t_high`: its conformal interval of that level |
| `region=0.9` | `t_region_low`, `t_region_high`: together they hold all targets of a row |
| `quantiles=True` | `t_q0.05` and so on, for each level that the architecture learns |
| `samples=100` | `t_sample_0` to `t_sample_99`, joint over targets that bear one number |

Where a target of the dataset has such a name itself, `_` becomes `__` in all of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.learning.predictions import Predictions, Values

if TYPE_CHECKING:
    import pandas as pd

    from tasks.learning.bundle import Bundle

_TAKEN = re.compile(r"(region_)?(low|high)|region|q[0-9.e-]+|sample_[0-9]+")


def answer(bundle: "Bundle", rows: Any, asked: Mapping[str, Any]) -> "pd.DataFrame":
    """Return a bundle's answers to raw rows, with the columns that `asked` names.

    Raises ValueError for what the bundle does not have, and as Bundle.predict does.
    """
    import pandas as pd

    interval, region = (float(asked.get(name) or 0.0) for name in ("interval", "region"))
    levels = tuple(dict.fromkeys(level for level in (interval, region) if level))
    draws = int(asked.get("samples") or 0)
    _possible(bundle, levels, draws)
    found = bundle.predict(rows, draws, levels=levels)
    columns: dict[str, Values] = {}
    join = separator(found.targets)
    for name, values in _more(found, interval, region, bool(asked.get("quantiles")), draws):
        columns |= {f"{t}{join}{name}": values[:, i] for i, t in enumerate(found.targets)}
    more = pd.DataFrame(columns, index=range(len(found.mean)))
    frame: pd.DataFrame = pd.concat([found.frame(), more], axis=1)
    return frame


def separator(targets: Sequence[str]) -> str:
    """Return what stands between a target and what is said of it, so that no name is taken."""
    join = "_"
    while any(
        other.startswith(target + join) and _TAKEN.fullmatch(other[len(target + join) :])
        for target in targets
        for other in targets
    ):
        join += "_"
    return join


def _possible(bundle: "Bundle", levels: Sequence[float], draws: int) -> None:
    if levels and bundle.conformal is None:
        raise ValueError("this model has no intervals: it was trained without calibration rows")
    if draws < 0:
        raise ValueError(f"samples: expected 0 or more, came {draws}")


def _more(
    found: Predictions, interval: float, region: float, quantiles: bool, draws: int
) -> Iterator[tuple[str, Values]]:
    """Yield what is asked for by name, (rows, targets) each."""
    for prefix, level, ends in (
        ("", interval, found.intervals),
        ("region_", region, found.regions),
    ):
        if level and ends is not None:
            yield from zip((f"{prefix}low", f"{prefix}high"), ends[level], strict=True)
    # No rows have neither quantiles nor samples, whatever the architecture.
    if quantiles:
        if not found.quantiles and len(found.mean):
            raise ValueError("quantiles: this model's architecture learns none")
        yield from ((f"q{level:g}", values) for level, values in (found.quantiles or {}).items())
    if draws:
        if found.samples is None and len(found.mean):
            raise ValueError("samples: this model's architecture has no distribution to draw from")
        for i in range(draws):
            yield f"sample_{i}", found.mean if found.samples is None else found.samples[:, i]
