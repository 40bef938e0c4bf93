"""How a flow ends: a state whose name is the outcome, and whose message says why in words.

Prefect by itself names every good end "Completed" and puts "Flow run encountered an exception"
before every error. Lists of runs, notifications and `retrain --remote` read these states; who
calls the flow still gets its record, or the exception itself.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect.states import Completed, Failed

from flows.explain import FAILURES, explain
from flows.names import BREACH, ending, message
from tasks.errors import Breach
from tasks.records import Run

P = ParamSpec("P")
R = TypeVar("R")


def told(flow: Callable[P, R]) -> Callable[P, R]:
    """Return the flow's function so that it ends in a state that tells its outcome."""

    @wraps(flow)
    def telling(*args: P.args, **kwargs: P.kwargs) -> R:
        state: Any
        try:
            result = flow(*args, **kwargs)
        except Exception as error:
            said, code = explain(error)
            name = BREACH if isinstance(error, Breach) else FAILURES.get(code)
            state = Failed(name=name, message=said, data=error)
        else:
            if not isinstance(result, Run):
                return result
            state = Completed(name=ending(result), message=message(result), data=result)
        return state  # type: ignore[no-any-return]  # Prefect takes a state for an outcome

    return telling
