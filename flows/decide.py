"""What was decided of a waiting candidate is carried out: by `polycast approve` and `reject`."""

from prefect import tags
from prefect.runtime import flow_run

from flows.names import run_name
from flows.outcome import told
from flows.retrain import decided
from flows.turn import turn
from tasks.contracts import read_contract
from tasks.errors import DataError
from tasks.records import Run
from tasks.report import STAGE


def _name() -> str:
    return run_name(f"{flow_run.parameters['place'].split('/')[1]}-decided")


@told(name="decide", flow_run_name=_name)
def decide(place: str) -> Run:
    """Publish a candidate that was approved, or record that it was rejected.

    Args:
        place: The run folder that waits, such as runs/nyc_weather/20261101T023000Z-1a2b3c.
    """
    waited = STAGE.read(place)
    if waited is None:
        raise DataError(f"{place} is no run folder of this version of Polycast")
    contract = read_contract(place)
    with tags(contract.dataset, *contract.tags), turn(contract):
        return decided(contract, waited)
