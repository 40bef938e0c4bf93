"""`polycast train`: one host's part of a training that several hosts share, and how it is begun.

In: the places of a contract and of shards, which all hosts see. The first host writes the
candidate, where `polycast retrain` finds it. Nothing of Prefect runs here.
"""

import logging
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from data_contracts.contract import Contract
from flows.console import VARIABLE, import_tensorflow, join_console
from flows.train import TrainingFailed
from tasks.backends import chosen
from tasks.checkpoints import forget_checkpoints
from tasks.contracts import read_contract, store_contract
from tasks.errors import DataError, WrongRequest
from tasks.hosts import ADDRESSES, COUNT, NUMBER, agreed, joined, leads
from tasks.preprocess import STAGE as PREPROCESS
from tasks.records import Candidate, Shards
from tasks.storage import home, root_storage
from tasks.train import STAGE, train_along, train_candidate

log = logging.getLogger("polycast")

LAUNCH = "POLYCAST_LAUNCH"
"""The variable that holds the command which runs another one on every host."""


def train_here(contract: str, shards: str) -> None:
    """Train with the other hosts by the contract and on the shards at two places.

    Raises what training raises, HostGone, and WrongRequest where the contract is for one host.
    """
    terms = read_contract(contract)
    hosts = terms.training.hosts
    if hosts == 1:
        raise WrongRequest(
            f"{contract} is for one host: `polycast retrain {terms.dataset}` trains by itself; "
            "training.hosts says how many there are"
        )
    data = PREPROCESS.read(shards)
    if data is None:
        raise DataError(f"there are no complete shards at {shards} under {home()}")
    _speak()
    with joined(hosts, terms.training.device):
        # Asked of one host, since a manifest may be seen here a little later than there.
        if not agreed(STAGE.find(terms, data.hash) is not None):
            _train(terms, data)


def _speak() -> None:
    """Draw the news of training. What libraries say of errors is left to be seen."""
    import_tensorflow()
    os.environ[VARIABLE] = "1"
    join_console()


def _train(contract: Contract, shards: Shards) -> None:
    place, data = STAGE.place(contract, shards.hash), root_storage().fetch(shards.place)
    if leads():
        STAGE.run(
            contract,
            shards.hash,
            work=lambda folder: train_candidate(contract, shards, data, folder, place),
        )
        forget_checkpoints(place)
        return
    with tempfile.TemporaryDirectory(prefix="polycast-") as folder:
        train_along(contract, shards, data, Path(folder), place)


def train_over_hosts(contract: Contract, shards: Shards) -> Candidate:
    """Return the candidate that several hosts train, by the command of POLYCAST_LAUNCH.

    Raises TrainingFailed, without such a command with what to run on each host.
    """
    words = ["train", store_contract(contract), shards.place]
    launch = os.environ.get(LAUNCH)
    if launch is None:
        raise TrainingFailed(_how_to(contract, words))
    log.info("training begins on %d hosts: %s", contract.training.hosts, launch)
    command = [*shlex.split(launch), sys.executable, "-m", "flows", *words]
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as fault:
        raise TrainingFailed(f"{LAUNCH}: {launch} cannot be run: {fault}") from None
    found = STAGE.find(contract, shards.hash)
    if found is None:
        raise TrainingFailed(
            f"training on {contract.training.hosts} hosts ended with code {code} and no candidate: "
            f"look at what {launch} printed; training goes on from its last checkpoint"
        )
    return found


def _how_to(contract: Contract, words: list[str]) -> str:
    hosts = contract.training.hosts
    return (
        f"training.hosts is {hosts}: run this on each of the {hosts} hosts at once, then "
        f"`polycast retrain {contract.dataset}` again, which goes on from there:\n"
        f"  KERAS_BACKEND={chosen()} {ADDRESSES}=HOST:PORT,… {COUNT}={hosts} {NUMBER}=0 \\\n"
        f"    polycast {' '.join(words)}\n"
        f"with {NUMBER} from 0 to {hosts - 1}. Or set {LAUNCH} to the command that runs another "
        "one on every host, such as srun (deployments/SEVERAL_HOSTS.md)"
    )
