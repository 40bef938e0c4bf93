"""The published model's signature and input example: raw columns in, targets out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.columns import CategoricalFeature, TimestampFeature
from data_contracts.contract import Contract
from tasks.database import columns, connect, literal

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

EXAMPLE_ROWS = 5


def signature(contract: Contract) -> "ModelSignature":
    """Return MLflow's signature: features by their raw types, targets as doubles."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs: list[Any] = [ColSpec(kind, column) for column, kind in raw_columns(contract).items()]
    outputs: list[Any] = [ColSpec("double", column) for column in contract.target_columns]
    return ModelSignature(Schema(inputs), Schema(outputs))


def raw_columns(contract: Contract) -> dict[str, str]:
    """Return the raw columns that a prediction needs, with MLflow's name of their type."""
    found = {column: _kind(f) for column, f in contract.feature_columns.items()}
    for target, present in contract.present_columns.items():
        if contract.target_columns[target].transform == "change":
            found.setdefault(present, "double")
    return found


def _kind(feature: Any) -> str:
    match feature:
        case CategoricalFeature():
            return "string"
        case TimestampFeature():
            return "datetime"
        case _:
            return "double"


def input_example(contract: Contract, rows: Path) -> "pd.DataFrame":
    """Return the newest raw rows of the snapshot in the signature's types."""
    kinds = raw_columns(contract)
    with connect([rows]) as database:
        frame = database.execute(
            f"SELECT {columns(list(kinds))} FROM read_parquet({literal(str(rows))}) "
            f"ORDER BY _row DESC LIMIT {EXAMPLE_ROWS}"
        ).df()
    for column, kind in kinds.items():
        if kind == "double":
            frame[column] = frame[column].astype("float64")
        elif kind == "datetime" and frame[column].dt.tz is not None:
            frame[column] = frame[column].dt.tz_convert("UTC").dt.tz_localize(None)
        elif kind == "string":
            frame[column] = frame[column].astype(object)
    return frame
