"""What a version keeps beside its model: what it was made of, by what, and with which verdict.

In: a contract, a verdict, the card and the candidate's files. Out: a folder with all of it:

| name | what it is |
| --- | --- |
| `bundle/` | what predicts: networks, all that was fitted, intervals |
| `seen.parquet` | the keys that it has seen |
| `contract.json`, `verdict.json`, `model_card.md` | what was asked, judged and told |
| `data.json` | the snapshot by its hash: rows, columns, period, where it lies |
| `environment.json` | Python, platform and every package's version |
| `formats/<format>/` | the model in the contract's further formats |
| `SHA256SUMS` | the checksums of all of these |
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from tasks import registry
from tasks.environment import environment
from tasks.formats import export
from tasks.learning.checksums import write_checksums
from tasks.records import Verdict
from tasks.storage import Storage

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle

FORMATS = "formats"
"""The folder of a version that has a folder for each further format."""


def keep(
    contract: Contract,
    verdict: Verdict,
    card: str,
    bundle: "Bundle",
    storage: Storage,
    folder: Path,
) -> None:
    """Fill `folder`, which is empty, with all that a version keeps; `bundle` is the candidate's."""
    candidate = verdict.scores.candidate
    trained = storage.fetch(candidate.place)
    shutil.copytree(trained / registry.BUNDLE, folder / registry.BUNDLE)
    shutil.copy(trained / registry.SEEN, folder / registry.SEEN)
    texts = {
        registry.CONTRACT: contract.model_dump_json(indent=1),
        registry.VERDICT: verdict.model_dump_json(indent=1),
        "model_card.md": card,
        "data.json": json.dumps(_data(contract, verdict, storage), indent=1, ensure_ascii=False),
        "environment.json": json.dumps(environment(), indent=1),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    for name in contract.publishing.formats:
        export(name, bundle, folder / FORMATS / name)
    write_checksums(folder)


def _data(contract: Contract, verdict: Verdict, storage: Storage) -> dict[str, Any]:
    from tasks.publish.model_card import period

    checked = verdict.scores.candidate.shards.checked
    snapshot = checked.snapshot
    rows = storage.fetch(snapshot.place) / "rows.parquet"
    return {
        "snapshot": snapshot.hash,
        "place": snapshot.place,
        "source": snapshot.source,
        "rows": snapshot.rows,
        "quarantined": checked.quarantined,
        "period": list(period(contract, rows)),
        "columns": snapshot.columns,
    }
