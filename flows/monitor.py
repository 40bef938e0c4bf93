"""The monitor flow: a champion on recent rows, and events for what has drifted or decayed.

`polycast.drift` and `polycast.decay` are events of the resource `polycast.dataset.<dataset>`, on
which an automation starts a retrain (`flows/automations.py`).
"""

from datetime import date, datetime
from typing import Any

from prefect import tags
from prefect.events import emit_event
from prefect.runtime import flow_run

from data_contracts.loading import load_contract
from data_contracts.source import moment
from flows.names import DECAY, DRIFT, dataset_name, resource
from flows.outcome import told
from flows.worker import join_worker
from tasks.ingest import ingest
from tasks.monitor import monitor as watch
from tasks.monitor.found import Watch


def _name() -> str:
    return f"{dataset_name(flow_run.parameters)}-monitor"


@told(name="monitor", flow_run_name=_name)
def monitor(dataset: str, since: date | None = None) -> Watch:
    """Compare recent rows with those that the champion was trained on, and its errors with those
    on its test rows. Emits `polycast.drift` and `polycast.decay`.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        since: The first day whose rows are recent; the contract's window when empty.
    """
    join_worker()
    contract = load_contract(dataset)
    with tags(contract.dataset, *contract.tags):
        found = watch(contract, ingest(contract), _moment(since))
        _tell(found)
        return found


def _moment(day: date | None) -> datetime | None:
    return None if day is None else moment(day)


def _tell(found: Watch) -> None:
    """Emit an event for columns that drifted, and one for targets that decayed."""
    for event, parts in ((DRIFT, found.drifted), (DECAY, found.decayed)):
        if parts:
            words = [part.words for part in parts]
            _emit(event, found, {"summary": found.summary, "found": words})


def _emit(event: str, found: Watch, payload: dict[str, Any]) -> None:
    emit_event(
        event=event,
        resource={
            "prefect.resource.id": resource(found.dataset),
            "prefect.resource.name": found.dataset,
        },
        related=[
            {
                "prefect.resource.id": f"polycast.version.{found.model}.{found.version}",
                "prefect.resource.role": "champion",
            }
        ],
        payload=payload | {"version": found.version, "rows": found.rows},
    )
