"""A published model that looks at raw rows before it answers, and says what is wrong with them.

MLflow tells a fault of a model with a traceback, and with all rows that it was asked. Here a fault
is kept in words for whoever sends the answer.
"""

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from tasks.learning.bundle import Bundle
from tasks.learning.checking import Fault, faults

MOST = 5
"""The most faults that one answer names."""

said: ContextVar[list[str] | None] = ContextVar("said", default=None)
"""What is wrong with the request that is being answered, filled where somebody listens."""


class Refused(ValueError):
    """Rows that a model cannot answer as they are asked."""


class Strict:
    """Stands for an MLflow model whose rows are held against what its bundle was fitted on."""

    def __init__(self, model: Any, bundle: Bundle) -> None:
        self.metadata = model.metadata
        self._model = model
        self._preprocessing = bundle.members[0].preprocessing
        # Keras compiles at the first answer: two at once would do it twice.
        self._one = threading.Lock()

    def faults(self, data: Any) -> list[Fault]:
        """Return what is wrong with raw rows."""
        return faults(self._preprocessing, data)

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Return the model's answer to raw rows. Raises Refused for rows that it cannot answer."""
        try:
            self._known(params or {})
            found = self.faults(data)
            if found:
                raise Refused(_words(found))
            with self._one:
                return self._model.predict(data, params=params)
        except Exception as error:
            listener = said.get()
            if listener is not None:
                listener.append(_plain(error))
            raise

    def _known(self, params: dict[str, Any]) -> None:
        """Raise Refused for a parameter that the model does not have: MLflow would leave it out."""
        schema = self.metadata.get_params_schema()
        names = [param.name for param in schema.params] if schema else []
        other = sorted(set(params) - set(names))
        if other:
            raise Refused(f"params: expected any of {', '.join(names)}, came {', '.join(other)}")


def _words(found: Sequence[Fault]) -> str:
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join([*(fault.words for fault in found[:MOST]), *more])


def _plain(error: Exception) -> str:
    """Return an error's words without the data that MLflow repeats in them."""
    return str(error).rpartition("\nError: ")[2][:1000]
