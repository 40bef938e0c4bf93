"""The tune flow, and the tuning of a retrain: trials of other recipes, on validation rows alone."""

from prefect import tags
from prefect.runtime import flow_run

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from data_contracts.tuning import Tuning
from flows.engine import VARIABLE, engine
from flows.names import dataset_name
from flows.outcome import told
from flows.server import ServerFault
from flows.team import machine_gpus
from flows.worker import join_worker
from tasks.ingest import ingest
from tasks.preprocess import preprocess
from tasks.records import Shards
from tasks.tuning import nightly
from tasks.tuning.engines import Engine, processes, ray_cluster
from tasks.tuning.result import Tuned
from tasks.tuning.search import Budget
from tasks.tuning.tune import Asked
from tasks.tuning.tune import tune as search
from tasks.validate import validate


def _name() -> str:
    return f"{dataset_name(flow_run.parameters)}-tune"


@told(name="tune", flow_run_name=_name)
def tune(
    dataset: str,
    overrides: list[str] = [],  # noqa: B006  # shown in the form, and never changed
    trials: int | None = None,
    minutes: float | None = None,
) -> Tuned:
    """Search for a better recipe of a dataset, by the error on its validation rows.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        overrides: Changes to the contract for this run, such as tuning.strategy=random.
        trials: How many trials the study shall have; the contract's number when neither this nor
            minutes is given.
        minutes: How long to search.
    """
    join_worker()
    contract = load_contract(dataset, overrides)
    with tags(contract.dataset, *contract.tags):
        shards = preprocess(contract, validate(contract, ingest(contract)))
        if trials is None and minutes is None:
            trials = (contract.tuning or Tuning()).trials
        return search(contract, shards, Asked(Budget(trials, minutes), trial_engine(contract)))


def tuned(contract: Contract, shards: Shards) -> Contract:
    """Return the contract with the best recipe of a retrain's budget, where it has one."""
    if contract.tuning is None or not nightly.tunes(contract):
        return contract
    budget = Budget(minutes=contract.tuning.minutes)
    found = search(contract, shards, Asked(budget, trial_engine(contract), once=True))
    return nightly.with_best(contract, found)


def trial_engine(contract: Contract) -> Engine:
    """Return where trials run by POLYCAST_ENGINE: processes here, or Ray.

    Raises ServerFault where GPUs are to be given out by an engine that cannot.
    """
    gpus, name = (contract.tuning or Tuning()).gpus, engine()
    if name == "local" and gpus:
        raise ServerFault(f"tuning.gpus is {gpus:g}, which Ray alone gives out: set {VARIABLE}=ray")
    if name == "local":
        return processes
    own = len(machine_gpus())
    if name == "ray" and gpus > own:
        raise ServerFault(f"tuning.gpus is {gpus:g}, and this machine has {own}")
    return ray_cluster(name, gpus, own)
