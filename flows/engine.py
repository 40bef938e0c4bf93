"""The engine: what runs many pieces of work at once, on this machine or on a Ray cluster.

One setting, POLYCAST_ENGINE: `local` (processes of this machine, the default), `ray` (a cluster
that is started here for as long as it is needed) or the address of a cluster, such as
`ray://head:10001`. Whatever comes in many pieces asks `task_runner` for a runner.
"""

import os
from typing import TYPE_CHECKING, Any

from flows.server import HOST, ServerFault

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
    if name != "ray":
        return _typed(RayTaskRunner(address=name))
    return _typed(
        RayTaskRunner(
            init_kwargs={
                "num_cpus": parallel,
                "include_dashboard": False,
                "log_to_driver": False,
                "logging_level": "error",
                "_node_ip_address": HOST,
            }
        )
    )


def _typed(runner: "TaskRunner[Any]") -> "TaskRunner[Any]":
    """Return the runner: prefect-ray tells no types."""
    return runner


def gpus_for_each(task: Any, gpus: float) -> Any:
    """Return a task that asks the engine for that many GPUs each time it runs.

    Ray gives a run GPUs of its own and shows it no others; local processes share what there is.
    """
    if engine() == "local" or not gpus:
        return task
    from prefect_ray.context import remote_options

    return _Asking(task, remote_options, {"num_gpus": gpus})


class _Asking:
    """A task whose submissions ask Ray for resources."""

    def __init__(self, task: Any, options: Any, wanted: dict[str, float]) -> None:
        self.task, self.options, self.wanted = task, options, wanted

    def submit(self, *values: Any, **named: Any) -> Any:
        """Submit the task with its resources."""
        with self.options(**self.wanted):
            return self.task.submit(*values, **named)
