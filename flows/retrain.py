"""The retrain flow: from a contract to a published champion, one line per stage."""

from datetime import UTC, datetime

from prefect import flow, tags
from prefect.runtime import flow_run

from data_contracts.loading import load_contract
from flows.train import train_in_process as train
from tasks.evaluate import evaluate
from tasks.ingest import ingest
from tasks.judge import judge
from tasks.preprocess import preprocess
from tasks.publish import publish
from tasks.records import Run
from tasks.report import report
from tasks.validate import validate


def _name() -> str:
    dataset = str(flow_run.parameters["dataset"]).rsplit("/", 1)[-1].removesuffix(".yaml")
    return f"{dataset}-{datetime.now(UTC):%Y-%m-%d}"


@flow(name="retrain", flow_run_name=_name, persist_result=False)
def retrain(dataset: str, overrides: list[str] | None = None) -> Run:
    """Retrain a dataset and publish the new model when the gate lets it pass.

    dataset: the name of a contract, or the path of a contract's YAML file.
    overrides: changes to the contract for this run, such as recipe.epochs=5.
    """
    contract = load_contract(dataset, overrides or [])
    with tags(contract.dataset, *contract.tags):
        snapshot = ingest(contract)
        checked = validate(contract, snapshot)
        shards = preprocess(contract, checked)
        candidate = train(contract, shards)
        scores = evaluate(contract, candidate, shards)
        verdict = judge(contract, scores)
        publication = publish(contract, candidate, verdict)
        return report(contract, publication)
