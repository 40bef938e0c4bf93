"""The form by which Prefect asks a person: a suspended run costs no worker, and goes on when
somebody has answered.

A run of a deployment is suspended once its report is written: its process ends. When the form is
answered, here or by `polycast approve`, a worker takes the run up from the top; it finds here what
it waits for, so that it decides of the candidate that was shown, though newer rows have come since.
"""

from datetime import timedelta
from typing import Any

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.input.actions import filter_flow_run_input
from prefect.runtime import deployment, flow_run
from pydantic import ConfigDict, Field

from data_contracts.contract import Contract
from flows.decision_page import decision_page
from flows.suspended import note, suspended_with, who_asks
from flows.waiting import approval
from tasks import approvals
from tasks.contracts import read_contract
from tasks.records import Run

PATIENCE = timedelta(days=30)
"""How long a run stays suspended. After that it fails, and `polycast approve` still works."""
_ANSWERS = 100
"""The most entries of its forms that are looked through: each has three."""


class Answer(RunInput):
    """What the form asks. The server lets none pass that rejects without a reason.

    The decision is typed: the lists to choose from in Prefect 3.8's UI do not open by a click.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "if": {"properties": {"decision": {"const": "reject"}}, "required": ["decision"]},
            "then": {"properties": {"reason": {"minLength": 1}}, "required": ["reason"]},
        },
    )
    decision: str = Field(
        pattern="^(approve|reject)$",
        title="Decision",
        description="approve publishes the candidate, reject keeps the champion: type one of them",
    )
    name: str = Field(pattern=r"\S", title="Your name", description="Kept with the version")
    reason: str = Field(
        default="", title="Reason", description="Kept with the version; reject asks for one"
    )


def answered() -> Run | None:
    """Return the run that this flow run was suspended with, None where it was not.

    What its form was answered with becomes the decision, where there is none yet.
    """
    run = suspended_with(flow_run.id)
    if run is None:
        return None
    contract, verdict = read_contract(run.place), run.publication.verdict
    found: Any = filter_flow_run_input(f"suspended-{_key(run)}", limit=_ANSWERS)
    for given in (f for f in found if f.key.endswith("-response")):
        answer = Answer.load_from_flow_run_input(given)
        approvals.decide(contract, verdict, approval(answer.decision, answer.name, answer.reason))
    return run


def ask(contract: Contract, run: Run, before: Run | None = None) -> Run:
    """Suspend this flow run where its candidate waits for a person and Prefect can ask one.

    before: the run that was decided of, where its candidate was judged again since.
    Returns the run where there is nothing to ask, no deployment to start it again from, or a
    flow run that asks the same already.
    """
    # Prefect suspends no run that is part of another.
    alone = deployment.id is not None and flow_run.parent_flow_run_id is None
    if run.outcome != "waiting" or not alone or who_asks(run):
        return run
    note(run, flow_run.id)
    suspend_flow_run(
        wait_for_input=Answer.with_initial_data(description=decision_page(contract, run, before)),
        timeout=int(PATIENCE.total_seconds()),
        # After a crash it may have to be asked again; Prefect shows the form of a key once.
        key=f"{_key(run)}-{flow_run.run_count}",
    )
    return run  # never: the process ends


def _key(run: Run) -> str:
    """Return the beginning of the keys under which Prefect keeps the forms of a verdict."""
    return run.publication.verdict.hash[:16]
