"""Keep a contract under the storage root, so that a process elsewhere trains from the same one."""

from data_contracts.contract import Contract
from tasks.records import Record
from tasks.storage import digest, root_storage


class StoredContract(Record):
    """`contract.json`: the contract with its overrides and its recipe spread out."""


def store_contract(contract: Contract) -> str:
    """Return the place where the contract is kept; it is written where it is not there yet."""
    content = contract.model_dump_json(indent=1)
    place = f"contracts/{contract.dataset}/{digest(content)[:16]}"
    storage = root_storage()
    if storage.manifest(place) is None:
        with storage.write(place) as work:
            (work.folder / "contract.json").write_text(content, "utf-8")
            work.record = StoredContract(place=place).model_dump(mode="json")
    return place


def read_contract(place: str) -> Contract:
    """Return the contract kept at a place. Raises BrokenWork where it is not whole."""
    file = root_storage().fetch(place) / "contract.json"
    return Contract.model_validate_json(file.read_text("utf-8"))
