"""The published model as MLflow loads it: raw pandas rows in, targets in their units out.

MLflow keeps this file as code (nothing is pickled) together with `tasks/learning`, and runs it
in whatever process loads the model; Polycast need not be installed there.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class PolycastModel(PythonModel):
    """A bundle behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle from the model's artifacts, held against their checksums."""
        from tasks.learning.bundle import load_bundle
        from tasks.learning.checksums import NAME, check

        bundle = Path(context.artifacts["bundle"])
        check(Path(context.artifacts[NAME]), bundle.parent, bundle.name)
        self.bundle = load_bundle(bundle)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a frame with one column a target, in its unit, for a frame of raw rows.

        `params` asks for more columns: `interval` and `region` (a level such as 0.9), `quantiles`
        (true), `samples` (how many); tasks/learning/frames.py names them.
        """
        from tasks.learning.frames import answer

        return answer(self.bundle, model_input, params or {})


mlflow.models.set_model(PolycastModel())
