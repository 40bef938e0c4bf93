"""Contracts that are kept: under the storage root, so that a process elsewhere trains from the same
one, and with each version."""

from pydantic import ValidationError

from data_contracts.contract import Contract
from data_contracts.errors import dotted, refusals
from tasks import registry
from tasks.errors import WrongRequest
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


def contract_of(model: str, version: str) -> Contract | None:
    """Return the contract that a version was made by; None where it keeps none.

    Raises WrongRequest where it cannot be read today.
    """
    file = registry.contract_file(model, version)
    if file is None:
        return None
    try:
        return Contract.model_validate_json(file.read_text("utf-8"))
    except ValidationError as fault:
        first = refusals(fault)[0]
        raise WrongRequest(
            f"{model} version {version} was made by another Polycast, whose contracts this one "
            f"cannot read: {dotted(first.path)}: expected {first.expected}. Update Polycast, or "
            f"name another version: polycast models {model}"
        ) from None
