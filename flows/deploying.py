"""`polycast deploy`: register work pools, every contract's deployments and the automations.

What is deployed stands in `deployments/prefect.yaml`; a contract adds its dataset, schedule and
tags, so that a new contract needs no code. Registering again brings everything up to date.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import contract_files, load_contract

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.flows import Flow

CPU, GPU = "cpu", "gpu"
"""The work pools: retrains run on the first, and hand training to the second."""
TAG = "polycast"
_IN_PLACE = {"prefect.deployments.steps.set_working_directory": {"directory": "."}}
"""Flows are installed, not fetched: Prefect would copy the worker's folder for each run."""


@dataclass(frozen=True)
class Deployed:
    """What was registered: the deployments by name, when each runs, and contracts left out."""

    schedules: dict[str, str]
    """By full name, such as retrain/nyc_weather: the schedule in words."""
    unusable: dict[str, str]
    """By dataset: why its contract cannot be used."""


def definitions() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return `deployments/prefect.yaml` spread out over the contracts, in Prefect's own terms.

    Also returned, by dataset: what is wrong with contracts that cannot be used.
    """
    text = files("deployments").joinpath("prefect.yaml").read_text("utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    contracts, unusable = _contracts()
    found = [d for entry in entries for d in _spread(entry, contracts)]
    return found, unusable


def _contracts() -> tuple[list[Contract], dict[str, str]]:
    usable, unusable = [], {}
    for name, file in contract_files().items():
        try:
            usable.append(load_contract(str(file)))
        except ContractError as error:
            unusable[name] = str(error)
    return usable, unusable


def _spread(entry: dict[str, Any], contracts: list[Contract]) -> Iterator[dict[str, Any]]:
    if "{dataset}" not in entry["name"]:
        yield entry | {"tags": [TAG], "schedules": []}
        return
    for contract in contracts:
        cron, wait = _plan(entry["entrypoint"], contract)
        yield {
            **_filled(entry, contract),
            "tags": [TAG, contract.dataset, *contract.tags],
            "schedules": [cron] if cron else [],
            "concurrency_limit": {
                "limit": 1,
                "collision_strategy": "ENQUEUE" if wait else "CANCEL_NEW",
            },
        }


def _plan(entrypoint: str, contract: Contract) -> tuple[dict[str, str] | None, bool]:
    """Return when a contract's deployment of a flow runs by itself, and whether a run waits for one
    that still goes on."""
    watched = contract.monitoring
    if entrypoint == "flows.monitor.monitor" and watched and watched.cron:
        return {"cron": watched.cron, "timezone": watched.timezone}, False
    schedule = contract.schedule if entrypoint == "flows.retrain.retrain" else None
    if schedule is None:
        return None, True
    when = {"cron": schedule.cron, "timezone": schedule.timezone}
    return when, schedule.overlap == "wait"


def _filled(value: Any, contract: Contract) -> Any:
    """Return the value with {dataset} and {description} filled in, at any depth."""
    if isinstance(value, dict):
        return {key: _filled(item, contract) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    description = contract.description or f"Retrain {contract.dataset}."
    return value.replace("{dataset}", contract.dataset).replace("{description}", description)


def printed() -> str:
    """Return the deployments as the YAML file that `prefect deploy --all` reads."""
    found, _ = definitions()
    return yaml.safe_dump(
        {"name": TAG, "deployments": found}, sort_keys=False, allow_unicode=True, width=100
    )


def watched() -> list[str]:
    """Return the datasets that drift and decay start a retrain of."""
    usable, _ = _contracts()
    return [c.dataset for c in usable if c.monitoring and c.monitoring.retrain]


def deploy() -> Deployed:
    """Register pools, deployments and automations with the Prefect server that is configured."""
    from prefect.client.orchestration import get_client

    from flows.automations import register

    found, unusable = definitions()
    schedules = {}
    with get_client(sync_client=True) as client:
        for pool in (CPU, GPU):
            make_pool(client, pool)
        for definition in found:
            name, when = _register(client, definition)
            schedules[name] = when
        register(client, watched())
    return Deployed(schedules, unusable)


def make_pool(client: "SyncPrefectClient", name: str) -> None:
    """Make a process work pool unless there is a pool of that name, of whatever type."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        # Runs work where their worker was started: there lie ./data_contracts and .polycast/.
        template["variables"]["properties"]["working_dir"]["default"] = "."
        about = {CPU: "Retrains, all but the training.", GPU: "Training, one run per GPU."}
        client.create_work_pool(
            WorkPoolCreate(
                name=name, type="process", description=about[name], base_job_template=template
            )
        )


def online_workers() -> set[str]:
    """Return the names of the workers that the server has heard of lately, of both pools."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        # It raises for a pool that does not exist: `deploy` makes both.
        found = [w for pool in (CPU, GPU) for w in client.read_workers_for_work_pool(pool)]
    return {worker.name for worker in found if worker.status == "ONLINE"}


def _register(client: "SyncPrefectClient", definition: dict[str, Any]) -> tuple[str, str]:
    """Create or update a deployment; return its full name and its schedule in words."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    flow: Flow[Any, Any] = load_flow_from_entrypoint(definition["entrypoint"])
    name = f"{flow.name}/{definition['name']}"
    plan = [CronSchedule(**s) for s in definition["schedules"]]
    off = _switched_off(client, name)
    limit = ConcurrencyLimitConfig(**definition.get("concurrency_limit") or {"limit": 1})
    options = ConcurrencyOptions(collision_strategy=limit.collision_strategy)
    limited = "concurrency_limit" in definition
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=definition["name"],
        description=definition["description"],
        entrypoint=definition["entrypoint"],
        parameters=definition["parameters"],
        tags=definition["tags"],
        schedules=[DeploymentScheduleCreate(schedule=s, active=s not in off) for s in plan],
        concurrency_limit=limit.limit if limited else None,
        concurrency_options=options if limited else None,
        work_pool_name=definition["work_pool"]["name"],
        parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        pull_steps=[_IN_PLACE],
    )
    when = ", ".join(f"{s.cron} {s.timezone}" for s in plan)
    return name, when or "when asked"


def _switched_off(client: "SyncPrefectClient", name: str) -> list[Any]:
    """Return a deployment's schedules that somebody has paused: registering keeps them so."""
    from prefect.exceptions import ObjectNotFound

    try:
        there = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return []
    return [s.schedule for s in there.schedules if not s.active]
