"""The published model as MLflow loads it: raw pandas rows in, targets in their units out.

MLflow keeps this file as code (nothing is pickled) together with `tasks/learning`, and runs it
in whatever process loads the model; Polycast need not be installed there.
"""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class PolycastModel(PythonModel):
    """A bundle behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle from the model's artifacts."""
        from tasks.learning.bundle import load_bundle

        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(  # type: ignore[no-untyped-def]  # MLflow reads hints as schemas
        self, context, model_input, params=None
    ):
        """Return a frame with one column a target, in its unit, for a frame of raw rows."""
        return self.bundle.predict(model_input).frame()


mlflow.models.set_model(PolycastModel())
