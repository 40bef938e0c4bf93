"""The check flow: contract and data alone, nothing trained."""

from prefect import flow, tags

from data_contracts.loading import load_contract
from tasks.ingest import ingest
from tasks.records import Checked
from tasks.validate import validate


@flow(name="check", persist_result=False)
def check(dataset: str, overrides: list[str] | None = None) -> Checked:
    """Take a snapshot of a dataset and hold it against its contract.

    dataset: the name of a contract, or the path of a contract's YAML file.
    overrides: changes to the contract for this run, such as expectations.tolerance=0.
    """
    contract = load_contract(dataset, overrides or [])
    with tags(contract.dataset, *contract.tags):
        return validate(contract, ingest(contract))
