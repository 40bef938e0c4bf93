"""How a network is made: for one device or several, and for little memory or much."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import keras

from tasks.learning.epochs import Compiler
from tasks.learning.errors import MissingPart

if TYPE_CHECKING:
    from data_contracts.contract import Contract


@contextmanager
def spread(contract: "Contract", compiler: Compiler | None) -> Iterator[None]:
    """Let what is built meanwhile be trained as `training.parallel` says.

    Raises MissingPart where that cannot be done with this backend, recipe or batch.
    """
    parallel, recipe = contract.training.parallel, contract.recipe
    if parallel == "none":
        yield
        return
    if compiler is None:
        raise ValueError(f"training.parallel: {parallel} needs the backend's devices")
    if getattr(recipe, "target_weights", "fixed") == "gradnorm":
        raise MissingPart(
            f"training.parallel is {parallel}, where recipe.target_weights: gradnorm cannot have "
            "each target's gradients: set one of them otherwise"
        )
    with compiler.spread(parallel) as devices:
        if parallel == "data" and recipe.batch_size % devices:
            raise MissingPart(
                f"training.parallel is data, but recipe.batch_size, {recipe.batch_size}, cannot be "
                f"divided evenly between {devices} devices: set it to a multiple of {devices}"
            )
        yield


def saving_memory(contract: "Contract") -> AbstractContextManager[Any]:
    """Let layers built meanwhile forget what they answer, where the contract asks for it.

    Raises MissingPart where the backend cannot. Keras' way of TensorFlow takes no `training`.
    """
    if not contract.training.rematerialize:
        return nullcontext()
    if keras.config.backend() != "jax":
        raise MissingPart(
            f"training.rematerialize cannot be had with {keras.config.backend()}: set "
            "KERAS_BACKEND=jax and install the extra `jax`, or leave it out"
        )
    scope: AbstractContextManager[Any] = keras.RematScope(mode="full")
    return scope
