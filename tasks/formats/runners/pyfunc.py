"""Answer raw rows with MLflow's model. It needs mlflow and what the model itself asks for."""

from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def load(folder: str) -> Any:
    """Return the model in a folder."""
    return mlflow.pyfunc.load_model(folder)


def predict(model: Any, rows: pa.Table) -> NDArray[np.float64]:
    """Return the answers (rows, targets) to raw rows."""
    return np.asarray(model.predict(rows.to_pandas()).to_numpy(), np.float64)
