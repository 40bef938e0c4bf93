"""The retrain flow: from a contract to a published champion, one line per stage."""

from datetime import date

from prefect import flow, tags
from prefect.runtime import flow_run

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from flows.again import forget
from flows.handover import stop_training, train
from flows.names import Stage, dataset_name, run_name
from flows.outcome import told
from flows.turn import turn
from flows.worker import join_worker
from tasks.evaluate import evaluate
from tasks.ingest import ingest
from tasks.judge import judge
from tasks.preprocess import preprocess
from tasks.publish import publish
from tasks.records import Run
from tasks.report import report
from tasks.validate import validate


def _name() -> str:
    return run_name(dataset_name(flow_run.parameters), flow_run.parameters.get("as_of"))


@flow(name="retrain", flow_run_name=_name, persist_result=False, on_cancellation=[stop_training])
@told
def retrain(
    dataset: str,
    overrides: list[str] = [],  # noqa: B006  # shown in the form, and never changed
    as_of: date | None = None,
    from_stage: Stage | None = None,
) -> Run:
    """Retrain a dataset and publish the new model when the gate lets it pass.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        overrides: Changes to the contract for this run, such as recipe.epochs=5.
        as_of: Retrain as if on this day: rows from then on are left out, and the champion stays.
        from_stage: Do this stage and all later ones again, though nothing has changed.
    """
    join_worker()
    asked = [*overrides, f"source.as_of={as_of}"] if as_of else overrides
    contract = load_contract(dataset, asked)
    with tags(contract.dataset, *contract.tags), turn(contract):
        if from_stage and (flow_run.run_count or 1) == 1:  # not again after a crash
            forget(contract, from_stage)
        return _stages(contract)


def _stages(contract: Contract) -> Run:
    snapshot = ingest(contract)
    checked = validate(contract, snapshot)
    shards = preprocess(contract, checked)
    candidate = train(contract, shards)
    scores = evaluate(contract, candidate, shards)
    verdict = judge(contract, scores)
    publication = publish(contract, candidate, verdict)
    return report(contract, publication)
