"""What an architecture offers: build, learn, answer. Its files lie in `tasks/learning/networks/`.

A new architecture is a subclass in a file of its own, named in `networks/__init__.py`. One of a
user's own comes by an entry point of the group `polycast.architectures`, named as its recipe.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.feeding import Rows
from tasks.learning.layout import Layout
from tasks.learning.predictions import Answer
from tasks.learning.trainee import Objective, Trainee

Inputs = NDArray[np.float32]


class Architecture(ABC):
    """One way of predicting many targets at once. It has no state: networks and records do.

    `recipe` is the architecture's own recipe model; `settings` is what `answer` needs of it, as
    plain data: all that a published bundle carries.
    """

    @abstractmethod
    def build(self, recipe: Any, layout: Layout) -> keras.Model:
        """Return the untrained network, which is what a bundle keeps.

        It maps inputs, float32 (rows, layout.width), to raw numbers that `answer` reads.
        """

    @abstractmethod
    def objective(self, recipe: Any, layout: Layout) -> Objective:
        """Return what is minimized."""

    def settings(self, recipe: Any, layout: Layout) -> dict[str, Any]:
        """Return the recipe as plain data, with the number of `targets`."""
        return {**recipe.model_dump(mode="json"), "targets": layout.targets}

    def told(self, network: keras.Model) -> dict[str, Any]:
        """Return what a finished network has to tell of itself, as plain data beside settings."""
        return {}

    @abstractmethod
    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return scaled predictions for inputs (rows, width), rows at least 1.

        `draws` is how many joint samples are asked for, 0 for none. Samples use the same noise
        in every row, so that a row is answered alike alone and among others.
        """

    def trainee(self, network: keras.Model, recipe: Any, layout: Layout) -> Trainee:
        """Return the model that is fitted, around the network."""
        return Trainee(network, self.objective(recipe, layout))

    def rows(self, recipe: Any, layout: Layout, train: Rows, validation: Rows) -> tuple[Rows, Rows]:
        """Return the rows that steps are taken on and those that epochs are compared on.

        The trainee may see other inputs than the network, such as a mark of each row.
        """
        return train, validation

    def early_stopping(
        self, recipe: Any, trainee: Trainee, first_epoch: int
    ) -> keras.callbacks.EarlyStopping:
        """Return what stops training, and puts the best epoch's weights back."""
        return keras.callbacks.EarlyStopping(
            patience=recipe.patience, restore_best_weights=True, start_from_epoch=first_epoch
        )

    def callbacks(self, recipe: Any) -> Sequence[keras.callbacks.Callback]:
        """Return Keras callbacks of the architecture's own, called after Polycast's.

        Their model is the trainee, whose `network` is what is trained. They are called where an
        epoch begins and ends, and for the first and the last of the steps taken in one call.
        """
        return ()

    def batch_size(self, recipe: Any, layout: Layout) -> int:
        """Return how many rows a step takes."""
        return int(recipe.batch_size)

    def beside(self, recipe: Any, layout: Layout, validation: Any) -> Any:
        """Return what is fitted to `layout.train` and `validation` (both Arrays) while the network
        is trained, in a thread of its own: no Keras. `finish` is given it."""
        return None

    def finish(
        self, network: keras.Model, recipe: Any, layout: Layout, validation: Any, beside: Any
    ) -> keras.Model:
        """Return what a bundle keeps: the network with what is computed once, after the last
        step, from `layout.train`, `validation` (both Arrays) and what was fitted beside."""
        return network


BATCH_ROWS = 8192


def shared_noise(random: np.random.Generator, draws: int, width: int) -> NDArray[np.float64]:
    """Return standard normal noise (draws, width), which every row shares.

    Each draw has its opposite (an odd last one has none), so that the noise's mean is nothing.
    """
    half = random.standard_normal(((draws + 1) // 2, width))
    return np.concatenate([half, -half])[:draws]


def run_network(network: keras.Model, inputs: Any) -> NDArray[np.float64]:
    """Return a network's raw output as float64, batch by batch. Inputs are an array, or a list of
    arrays for a network that takes several."""

    # Keras' own `predict` lays a pipeline of data first, which takes longer than a small batch.
    def answer(start: int) -> NDArray[np.float64]:
        rows = slice(start, start + BATCH_ROWS)
        batch = [x[rows] for x in inputs] if isinstance(inputs, list) else inputs[rows]
        return np.asarray(network.predict_on_batch(batch), dtype=np.float64)

    count = len(inputs[0] if isinstance(inputs, list) else inputs)
    return np.concatenate([answer(start) for start in range(0, max(1, count), BATCH_ROWS)])
