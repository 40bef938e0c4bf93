"""The check flow: contract and data alone, nothing trained."""

from prefect import tags
from prefect.runtime import flow_run

from data_contracts.loading import load_contract
from flows.names import dataset_name
from flows.outcome import told
from tasks.formats.installed import check_installed
from tasks.ingest import ingest
from tasks.records import Checked
from tasks.validate import validate


def _name() -> str:
    return f"{dataset_name(flow_run.parameters)}-check"


@told(name="check", flow_run_name=_name)
def check(
    dataset: str,
    overrides: list[str] = [],  # noqa: B006  # never changed
) -> Checked:
    """Take a snapshot of a dataset and hold it against its contract.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        overrides: Changes to the contract for this run, such as expectations.tolerance=0.
    """
    contract = load_contract(dataset, overrides)
    check_installed(contract.publishing.formats)
    with tags(contract.dataset, *contract.tags):
        return validate(contract, ingest(contract))
