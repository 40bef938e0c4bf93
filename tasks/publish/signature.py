"""The published model's signature and input example: raw columns in, targets out.

The inputs have no type there, only names: MLflow would refuse whole numbers in a column of
decimals, times with a zone, and labels that are not text. The model looks at the types itself,
and names the column that it cannot read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from tasks.database import columns, connect, literal

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

EXAMPLE_ROWS = 5


def signature(contract: Contract) -> "ModelSignature":
    """Return MLflow's signature: raw columns of any type in, targets as doubles out, and what
    may be asked for besides."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema

    untyped: Any = AnyType
    inputs: list[Any] = [ColSpec(untyped(), column) for column in raw_columns(contract)]
    outputs: list[Any] = [ColSpec("double", column) for column in contract.target_columns]
    asked: list[Any] = [
        ParamSpec("interval", "double", 0.0),
        ParamSpec("region", "double", 0.0),
        ParamSpec("quantiles", "boolean", False),
        ParamSpec("samples", "long", 0),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(asked))


def raw_columns(contract: Contract) -> list[str]:
    """Return the raw columns that a prediction needs, each once."""
    presents = (
        present
        for target, present in contract.present_columns.items()
        if contract.target_columns[target].transform == "change"
    )
    return list(dict.fromkeys([*contract.feature_columns, *presents]))


def input_example(contract: Contract, rows: Path) -> "pd.DataFrame":
    """Return the newest raw rows of the snapshot, times as text in ISO 8601."""
    import pandas as pd

    with connect([rows]) as database:
        frame = database.execute(
            f"SELECT {columns(raw_columns(contract))} FROM read_parquet({literal(str(rows))}) "
            f"ORDER BY _row DESC LIMIT {EXAMPLE_ROWS}"
        ).df()
    for column in frame.select_dtypes(["datetime", "datetimetz"]).columns:
        frame[column] = [pd.Timestamp(t).isoformat() for t in frame[column]]
    return frame
