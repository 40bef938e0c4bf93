"""The predict flow: rows of a Parquet file answered by a dataset's champion."""

from prefect import tags
from prefect.runtime import flow_run

from data_contracts.loading import load_contract
from flows.names import dataset_name
from flows.outcome import told
from tasks.predict import Invalid, Prediction, Request
from tasks.predict import predict as answer


def _name() -> str:
    return f"{dataset_name(flow_run.parameters)}-predict"


@told(name="predict", flow_run_name=_name)
def predict(
    dataset: str,
    source: str,
    out: str,
    version: str | None = None,
    interval: float | None = None,
    invalid: Invalid = "stop",
) -> Prediction:
    """Predict the rows of a Parquet file, and write the answers as a Parquet file.

    A run that was killed is taken up by the next one with the same parameters.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        source: A Parquet file, a folder of such files, or an address such as s3://bucket/rows.
        out: The Parquet file to write, or its address.
        version: The version that answers; the champion when empty.
        interval: The level of each target's interval, such as 0.9; none when empty.
        invalid: What becomes of rows that the model was not made for.
    """
    contract = load_contract(dataset)
    with tags(contract.dataset, *contract.tags):
        return answer(contract, Request(source, out, version, interval, invalid))
