"""Monitor: the champion on recent rows, against those that it was trained and tested on.

In: a contract and the snapshot of its rows as they are now. Out: a Watch: how far each feature and
target has moved from the champion's reference, and, for rows whose truth has come, each target's
error beside the one that was recorded when the champion was published. Recent are rows of the
contract's window that the champion has not seen. Raises DataError where there is no champion, or
no such row.
"""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from data_contracts.monitoring import Monitoring
from tasks import registry
from tasks.chosen import chosen
from tasks.contracts import contract_of
from tasks.histograms import compared
from tasks.learning.reference import read_reference
from tasks.learning.shift import Limits, Shift, shifts
from tasks.monitor.decay import Recorded, decays
from tasks.monitor.found import Decay, Moved, Watch
from tasks.monitor.recent import Recent, recent_rows
from tasks.monitor.words import watch_markdown
from tasks.orchestration import markdown, stage_task
from tasks.records import Snapshot, Verdict
from tasks.registry import Version
from tasks.storage import root_storage
from tasks.uses import using


def watch(contract: Contract, snapshot: Snapshot, since: datetime | None = None) -> Watch:
    """Return what the champion's recent rows show; `since` takes the place of the window."""
    version = chosen(contract.registered_model, None)
    model, number = version.model, version.version
    with using(model, number, f"monitor {contract.dataset}"):
        own = contract_of(model, number) or contract
        rows = root_storage().fetch(snapshot.place) / "rows.parquet"
        asked = contract.monitoring or Monitoring()
        seen = registry.seen_file(model, number)
        with tempfile.TemporaryDirectory(prefix="polycast-") as folder:
            file = Path(folder) / "recent.parquet"
            recent = recent_rows(own, snapshot.columns, rows, seen, since or asked.window, file)
            columns, note = _moved(asked, version, recent)
            targets = _decayed(contract, own, asked, version, recent)
    return Watch(
        dataset=contract.dataset,
        model=model,
        version=number,
        rows=recent.rows,
        since=recent.since,
        until=recent.until,
        columns=columns,
        targets=targets,
        note=note,
    )


def _moved(asked: Monitoring, version: Version, recent: Recent) -> tuple[tuple[Moved, ...], str]:
    """Return how far each column has moved, or why that cannot be told."""
    found = read_reference(registry.bundle_folder(version.model, version.version))
    if found is None:
        name = f"{version.model} version {version.version}"
        return (), f"{name} keeps no reference of its train rows: drift shows from the next one on."
    limits = Limits(**asked.drift.model_dump())
    pairs = compared(found, recent.types, recent.file)
    return tuple(map(_record, shifts(pairs, limits))), ""


def _record(shift: Shift) -> Moved:
    values: dict[str, Any] = {e.measure: e.value for e in shift.effects}
    return Moved(
        column=shift.column,
        target=shift.target,
        rows=shift.rows,
        labels=shift.new,
        usual={e.measure: e.usual for e in shift.effects if e.usual},
        drifted=tuple(e.measure for e in shift.effects if e.moved),
        **values,
    )


def _decayed(
    contract: Contract, own: Contract, asked: Monitoring, version: Version, recent: Recent
) -> tuple[Decay, ...]:
    from tasks.backends import backend

    backend().use_device("auto")
    from tasks.backends.compiled import compiled
    from tasks.learning.bundle import load_bundle

    bundle = compiled(load_bundle(registry.bundle_folder(version.model, version.version)))
    found = decays(own, recent, bundle, _recorded(own, version), asked.decay)
    return tuple(d for d in found if _same_unit(contract, own, d.target))


def _same_unit(contract: Contract, own: Contract, target: str) -> bool:
    """Say whether today's rows hold a target as the champion predicts it."""
    now = contract.target_columns.get(target)
    return now is not None and now.unit == own.target_columns[target].unit


def _recorded(contract: Contract, version: Version) -> dict[str, Recorded]:
    """Return the errors on test rows by target, where the version keeps them."""
    file = registry.verdict_file(version.model, version.version)
    if file is None:
        return {}
    scores = Verdict.model_validate_json(file.read_text("utf-8")).scores
    found = {}
    for target in contract.target_columns:
        error = scores.of("candidate", target, "rmse")
        own = [s.rows for s in scores.scores if (s.model, s.target) == ("candidate", target)]
        if error is not None:
            found[target] = Recorded(error, sum(own))
    return found


@stage_task
def monitor(contract: Contract, snapshot: Snapshot, since: datetime | None = None) -> Watch:
    """Watch the champion, and show what was found."""
    found = watch(contract, snapshot, since)
    markdown(contract.dataset, "monitoring", watch_markdown(found), found.summary)
    return found
