"""The rival under cross-validation: the champion's recipe, to be trained on the same folds.

The published champion has seen the rows that the folds test on, so recipes are compared and not
models. The rival's contract is today's, with the champion's recipe, features, and what it says
of the targets that both predict; it goes through preprocess and train as any other.
"""

import json
import logging
from collections.abc import Collection
from typing import Any

from data_contracts.columns import expand
from data_contracts.contract import Contract
from tasks import registry
from tasks.contracts import contract_of
from tasks.errors import WrongRequest
from tasks.records import Candidate

log = logging.getLogger("polycast")


def opponent(contract: Contract, candidate: Candidate) -> registry.Version | None:
    """Return the registered version to compare with: today's champion, or that of its day."""
    name, as_of = contract.registered_model, contract.source.as_of
    if as_of is None:
        return registry.opponent(name, candidate.hash)
    return registry.opponent_as_of(name, candidate.hash, contract.dataset, as_of)


def rival_contract(contract: Contract, candidate: Candidate) -> Contract | None:
    """Return the contract by which the candidate's rival is trained, None where there is none.

    There is none without folds, without a champion, with `gate.rebaseline`, and where the
    champion's contract is not known or cannot be kept by today's rows; the log says why.
    """
    if contract.evaluation.folds is None or contract.gate.rebaseline is not None:
        return None
    version = opponent(contract, candidate)
    if version is None:
        return None
    have = candidate.shards.checked.snapshot.columns
    try:
        old = contract_of(version.model, version.version)
        return None if old is None else as_champion(contract, old, have)
    except (WrongRequest, ValueError) as error:
        words = "the recipe of version %s cannot be trained on today's rows: %s"
        log.warning(words, version.version, error)
        return None


def as_champion(contract: Contract, old: Contract, have: Collection[str]) -> Contract:
    """Return today's `contract` with what the champion's, `old`, says of learning.

    `have` are the columns that today's rows have. A feature that they lack is left out. Raises
    ValueError where nothing of it can be learned from them.
    """
    own = old.model_dump(mode="json")
    targets = {n: t for n in old.targets if (t := _target(contract, old, n, have)) is not None}
    columns = {*have, *(c for n in targets for c in expand(n))}
    gone = {c for n in old.targets if n not in targets for c in expand(n)}
    constraints = [
        own["constraints"][i]
        for i, c in enumerate(old.constraints)
        if columns.issuperset(c.columns) and gone.isdisjoint(c.columns)
    ]
    content = contract.model_dump(mode="json") | {
        "features": {n: f for n, f in own["features"].items() if _there(n, have)},
        "targets": targets,
        "target_groups": own["target_groups"],
        "constraints": constraints,
        "recipe": own["recipe"],
        "gate": {"rules": [{"rule": "champion"}]},  # Another rule could name what is not there.
    }
    return Contract.model_validate_json(json.dumps(content))


def _there(name: str, have: Collection[str]) -> bool:
    return set(have).issuperset(expand(name))


def _target(contract: Contract, old: Contract, name: str, have: Collection[str]) -> Any:
    """Return the champion's word on a target, None where the two do not share it.

    Where its unit is another today, it is learned in today's.
    """
    was, now = old.targets[name], contract.targets.get(name)
    if now is None:
        return None
    known = was.present is None or _there(was.present, have)
    changes: dict[str, Any] = {"present": was.present if known else now.present}
    if was.unit != now.unit:
        changes |= {"unit": now.unit, "bounds": now.bounds}
    return was.model_copy(update=changes).model_dump(mode="json")
