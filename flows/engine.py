"""The engine: what runs many pieces of work at once, on this machine or on a Ray cluster.

One setting, POLYCAST_ENGINE: `local` (processes of this machine, the default), `ray` (a cluster
that is started here for as long as it is needed) or the address of a cluster, such as
`ray://head:10001`. Whatever comes in many pieces asks `task_runner` for a runner.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.server import HOST, ServerFault
from flows.team import machine_gpus

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

VARIABLE = "POLYCAST_ENGINE"


def engine() -> str:
    """Return the engine that is set. Raises ServerFault where it is none."""
    name = os.environ.get(VARIABLE) or "local"
    if name in ("local", "ray") or ":" in name:
        return name
    raise ServerFault(
        f"{VARIABLE} is {name!r}: expected local, ray, or a cluster's address such as "
        "ray://head:10001"
    )


def task_runner(parallel: int) -> "TaskRunner[Any]":
    """Return Prefect's task runner for the engine, for that many pieces at once.

    On a cluster, `parallel` is the cluster's matter. Raises ServerFault.
    """
    name = engine()
    if name == "local":
        from prefect.task_runners import ProcessPoolTaskRunner

        return ProcessPoolTaskRunner(max_workers=parallel)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        from prefect_ray.task_runners import RayTaskRunner
    except ModuleNotFoundError as error:
        raise ServerFault(
            f"{VARIABLE} is {name}, but {error.name} is not installed: pip install 'polycast[ray]'"
        ) from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if name != "ray":
        return _typed(RayTaskRunner(address=name, init_kwargs=quiet))
    here = {
        "address": "local",  # not a cluster that somebody has left on this machine
        "num_cpus": parallel,
        "num_gpus": len(machine_gpus()),
        "include_dashboard": False,
        "_node_ip_address": HOST,
    }
    return _typed(RayTaskRunner(init_kwargs=quiet | here))


def _typed(runner: "TaskRunner[Any]") -> "TaskRunner[Any]":
    """Return the runner: prefect-ray tells no types."""
    return runner


@contextmanager
def asking(gpus: float) -> Iterator[None]:
    """Have all that is submitted within the block get so many GPUs each, and see no others.

    Raises ServerFault where the engine cannot give them: local processes share what there is, and
    a cluster of this machine has no more than the machine.
    """
    if not gpus:
        yield
        return
    if engine() == "local":
        raise ServerFault(f"GPUs for each run are given out by Ray alone: set {VARIABLE}=ray")
    if engine() == "ray" and gpus > (there := len(machine_gpus())):
        raise ServerFault(f"{gpus:g} GPUs are asked for each run, and this machine has {there}")
    from prefect_ray.context import remote_options

    with remote_options(num_gpus=gpus):
        yield
