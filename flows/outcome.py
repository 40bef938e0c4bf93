"""How a flow ends: a state whose name is the outcome, and whose message says why in words.

Prefect by itself names every good end "Completed" and puts "Flow run encountered an exception"
before every error. Lists of runs, notifications and `retrain --remote` read these states; who
calls the flow still gets its record, or the exception itself.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.exceptions import FailedRun, MissingResult
from prefect.states import Completed, Failed

from flows.explain import FAILURES, explain
from flows.names import BREACH, ending, message
from tasks.errors import Breach
from tasks.records import Run

P = ParamSpec("P")
R = TypeVar("R")


_ended: ContextVar[Any] = ContextVar("ended", default=None)
"""The record or the exception with which the told flow that runs here ended."""


class Told(Flow[P, R]):
    """A flow that ends in a state which tells its outcome; who calls it gets what it came to.

    Prefect asks the server again where its first answer was lost. The server then says that the
    run has ended so, without the record or the exception; both are here all the time.
    """

    # Prefect's own has overloads for coroutines and states, which no told flow is called for.
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the flow, and return its record. Raises what ended it."""
        before = _ended.set(None)
        try:
            return super().__call__(*args, **kwargs)
        except (FailedRun, MissingResult):
            if (end := _ended.get()) is None:
                raise
            if isinstance(end, Exception):
                raise end from end.__cause__
            return end  # type: ignore[no-any-return]  # what this very call has kept
        finally:
            _ended.reset(before)


def told(**options: Any) -> Callable[[Callable[P, R]], Told[P, R]]:
    """Return the decorator that makes a function a flow which tells its outcome.

    options: those of Prefect's own `flow`.
    """
    return lambda function: Told(telling(function), persist_result=False, **options)


def telling(function: Callable[P, R]) -> Callable[P, R]:
    """Return a flow's function so that it ends in a state that tells its outcome."""

    @wraps(function)
    def tell(*args: P.args, **kwargs: P.kwargs) -> R:
        state: Any
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            said, code = explain(error)
            name = BREACH if isinstance(error, Breach) else FAILURES.get(code)
            state = Failed(name=name, message=said, data=error)
            _keep(error)
        else:
            if not isinstance(result, Run):
                return result
            state = Completed(name=ending(result), message=message(result), data=result)
            _keep(result)
        return state  # type: ignore[no-any-return]  # Prefect takes a state for an outcome

    return tell


def _keep(end: Run | Exception) -> None:
    """Keep what the told flow that runs here ended with. A function, since a flow is sent to the
    process that trains, and a context variable cannot be."""
    _ended.set(end)
