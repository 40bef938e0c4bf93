"""Fit a network: plain functions for folds, benchmarks and notebooks.

`fit` takes raw rows; `fit_network` takes arrays that are scaled already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pyarrow as pa

from tasks.learning.aside import aside
from tasks.learning.averaging import averaging, first_epoch
from tasks.learning.beginning import Weights, begin
from tasks.learning.bundle import Bundle, Member
from tasks.learning.course import Keeper
from tasks.learning.epochs import Budget, Compiler, run_epochs
from tasks.learning.errors import Diverged
from tasks.learning.feeding import Held, Rows
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.layout import Layout, lay_out
from tasks.learning.limits import limits_of
from tasks.learning.networks import architecture
from tasks.learning.optimizers import optimizer
from tasks.learning.precision import FULL, computing_in
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.recovery import OnEpoch, Watch
from tasks.learning.seeding import seeded
from tasks.learning.shards import Arrays, to_arrays
from tasks.learning.spreading import saving_memory, spread
from tasks.learning.target_weights import GradNorm, part_weights, shared_kernel
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from data_contracts.contract import Contract


@dataclass(frozen=True)
class Curve:
    """Losses per epoch on train and validation rows."""

    loss: list[float]
    val_loss: list[float]
    first: int = 0
    """The first epoch, from 0, whose weights may be kept."""

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights were kept."""
        first = min(self.first, len(self.val_loss) - 1)  # a callback may have ended it before
        return int(np.argmin(self.val_loss[first:])) + first + 1

    @property
    def best_loss(self) -> float:
        """The validation loss of the epoch whose weights were kept."""
        return self.val_loss[self.best_epoch - 1]


def fit(
    contract: "Contract",
    train: pa.Table,
    validation: pa.Table,
    on_epoch: OnEpoch | None = None,
    compiler: Compiler | None = None,
) -> tuple[Bundle, Curve]:
    """Return a bundle of one member trained on raw rows, and its learning curve.

    `compiler` is the backend (`tasks.backends.backend()`): it makes an epoch one compiled call, and
    GradNorm needs its gradients.
    """
    preprocessing = fit_preprocessing(contract, train)
    seen, unseen = (to_arrays(contract, preprocessing, rows) for rows in (train, validation))
    member, curve = fit_member(contract, preprocessing, seen, unseen, on_epoch, compiler)
    return Bundle([member]), curve


def fit_member(
    contract: "Contract",
    preprocessing: Preprocessing,
    train: Arrays | Rows,
    validation: Arrays | Rows,
    on_epoch: OnEpoch | None = None,
    compiler: Compiler | None = None,
    keeper: Keeper | None = None,
    start: Weights = None,
    apart: bool = False,
) -> tuple[Member, Curve]:
    """Return a trained member, with its best epoch's weights, and its learning curve.

    With a keeper of checkpoints, a run that was killed goes on from its last one; `start` are the
    weights to begin with; `apart`, that nothing is learned from validation rows, which some
    architectures else divide into folds with the train rows. Raises Diverged, with the member as
    it last was good, when a loss is no number or has risen beyond all measure, and Unsuitable
    where `start` is of another shape.
    """
    train, validation = _rows(train), _rows(validation)
    layout = lay_out(contract, preprocessing, train.some, train.count, apart)
    kind, own = architecture(contract.recipe.architecture), (layout, validation.some)
    with aside(lambda: kind.beside(contract.recipe, *own)) as beside:
        try:
            network, curve = fit_network(
                contract, layout, train, validation, on_epoch, compiler, (), keeper, start
            )
        except Diverged as fault:
            if fault.network is not None:
                fault.member = _finished(contract, preprocessing, fault.network, *own, beside())
            raise
        return _finished(contract, preprocessing, network, *own, beside()), curve


def finished(
    contract: "Contract",
    preprocessing: Preprocessing,
    layout: Layout,
    network: keras.Model,
    validation: Arrays,
) -> Member:
    """Return the member of a trained network, with what is fitted beside it and after training."""
    kind = architecture(contract.recipe.architecture)
    beside = kind.beside(contract.recipe, layout, validation)
    return _finished(contract, preprocessing, network, layout, validation, beside)


def _finished(
    contract: "Contract",
    preprocessing: Preprocessing,
    network: keras.Model,
    layout: Layout,
    validation: Arrays,
    beside: Any,
) -> Member:
    recipe = contract.recipe
    kind = architecture(recipe.architecture)
    whole = kind.finish(network, recipe, layout, validation, beside)
    limits = limits_of(contract, [s.size for s in preprocessing.scalers])
    settings = kind.settings(recipe, layout) | kind.told(whole)
    return Member(whole, preprocessing, recipe.architecture, settings, limits)


def fit_network(
    contract: "Contract",
    layout: Layout,
    train: Arrays | Rows,
    validation: Arrays | Rows,
    on_epoch: OnEpoch | None = None,
    compiler: Compiler | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    keeper: Keeper | None = None,
    start: Weights = None,
) -> tuple[keras.Model, Curve]:
    """Return the trained network with its best epoch's weights, and its learning curve.

    `callbacks` are a caller's own, called last; `start` are the weights to begin with. Raises
    Diverged when a loss is no number, and Unsuitable where `start` is of another shape.
    """
    training, fed = contract.training, (_rows(train), _rows(validation))
    plain = training.precision == FULL and training.parallel == "none"
    keep = _as_it_is if plain and not training.rematerialize else partial(_plain, contract, layout)
    with computing_in(training.precision), spread(contract, compiler), saving_memory(contract):
        try:
            network, curve = _train(
                contract, layout, *fed, on_epoch, compiler, callbacks, keeper, start
            )
        except Diverged as fault:
            fault.network = keep(fault.network) if fault.network else None
            raise
    return keep(network), curve


def _as_it_is(network: keras.Model) -> keras.Model:
    return network


def _plain(contract: "Contract", layout: Layout, network: keras.Model) -> keras.Model:
    """Return a network of the same weights, which are float32 always, on one device, that computes
    in float32."""
    with computing_in(FULL):
        full = architecture(contract.recipe.architecture).build(contract.recipe, layout)
    full.set_weights(network.get_weights())
    return full


def _train(
    contract: "Contract",
    layout: Layout,
    train: Rows,
    validation: Rows,
    on_epoch: OnEpoch | None,
    compiler: Compiler | None,
    callbacks: Sequence[keras.callbacks.Callback],
    keeper: Keeper | None,
    start: Weights,
) -> tuple[keras.Model, Curve]:
    """Return the trained network, which computes as it was trained, and its learning curve."""
    recipe = contract.recipe
    kind = architecture(recipe.architecture)
    train, validation = kind.rows(recipe, layout, train, validation)
    trainee = new_trainee(contract, layout, train.count, start)
    stop = kind.early_stopping(recipe, trainee, first_epoch(recipe))
    own = [*averaging(recipe), stop, Watch(on_epoch, stop)]
    if recipe.schedule == "plateau":
        patience = max(1, recipe.patience // 2)
        own.append(keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience))
    if getattr(recipe, "target_weights", "fixed") == "gradnorm":
        if compiler is None:
            raise ValueError("target_weights: gradnorm needs the backend's gradients")
        kernel = shared_kernel(trainee.network)
        own.append(GradNorm(train.some, kernel, compiler.gradients, recipe.seed))
    parts = contract.training.accumulate
    budget = Budget(recipe.epochs, kind.batch_size(recipe, layout), recipe.seed, parts)
    own += [*kind.callbacks(recipe), *callbacks]
    history = run_epochs(trainee, train, validation, budget, own, compiler, keeper)
    return trainee.network, Curve(history["loss"], history["val_loss"], first_epoch(recipe))


def new_trainee(contract: "Contract", layout: Layout, rows: int, start: Weights) -> Trainee:
    """Return a compiled trainee for so many train rows, as its recipe's seed makes it."""
    recipe = contract.recipe
    kind = architecture(recipe.architecture)
    with seeded(recipe.seed):
        network = kind.build(recipe, layout)
        begin(network, start)
        trainee = kind.trainee(network, recipe, layout)
    weighing = getattr(recipe, "target_weights", "fixed")
    parts = len(trainee.objective.names)
    first = part_weights(weighing, layout, parts)
    trainee.weigh(part_weights("fixed", layout, parts), first, weighing == "learned")
    steps = -(-rows // kind.batch_size(recipe, layout))
    trainee.compile(optimizer=optimizer(recipe, steps * recipe.epochs), jit_compile=True)
    return trainee


def _rows(rows: Arrays | Rows) -> Rows:
    return Held(rows) if isinstance(rows, Arrays) else rows
