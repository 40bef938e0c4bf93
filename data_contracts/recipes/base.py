"""What every recipe has, whatever its architecture."""

from typing import Annotated, Literal

from pydantic import Field

from data_contracts.columns import Loss
from data_contracts.section import Items, Section

Width = Annotated[int, Field(ge=1)]
Activation = Literal["relu", "silu", "gelu", "mish", "tanh"]


class BaseRecipe(Section):
    """How a network learns: optimizer, schedule, regularization, budget and seed."""

    architecture: str
    """The architecture's name."""
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd", "nadam", "lion", "muon"] = "adam"
    """The rule that turns gradients into steps. sgd has Nesterov momentum 0.9; muon steps the
    kernels of hidden layers, and adamw the rest."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The optimizer's step size, where the schedule is at its highest."""
    schedule: Literal["constant", "cosine", "warm_up", "one_cycle", "cosine_log", "plateau"] = (
        "constant"
    )
    """How the step size changes over the epochs. cosine: falls to nothing. warm_up: rises for a
    twentieth of the steps, then falls like cosine. one_cycle: rises for 3 in 10, then falls.
    cosine_log: four cycles, each twice as long as the last. plateau: halves when half of
    `patience` brought nothing."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled decay of kernels, per step, in shares of the step size."""
    clip_norm: float | None = Field(default=None, gt=0)
    """The greatest norm that all gradients together may have; none when absent."""
    l1: float = Field(default=0.0, ge=0)
    """The penalty on the absolute weights of hidden layers."""
    l2: float = Field(default=0.0, ge=0)
    """The penalty on the squared weights of hidden layers."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of each hidden layer that is left out at random in a step."""
    input_noise: float = Field(default=0.0, ge=0)
    """The deviation of Gaussian noise on the scaled inputs in a step."""
    averaging: Literal["none", "ema", "swa"] = "none"
    """Which weights are validated and kept. ema: an exponential average over steps (0.99).
    swa: the mean over the epochs of the budget's second half."""
    epochs: int = Field(default=100, ge=1)
    """The most passes over the train rows."""
    batch_size: int = Field(default=256, ge=1)
    """Rows per step."""
    patience: int = Field(default=10, ge=1)
    """Training stops after this many epochs without a lower validation loss; the best
    epoch's weights are kept."""
    seed: int = Field(default=0, ge=0)
    """The same seed gives the same weights."""


class LayersRecipe(BaseRecipe):
    """Hidden layers."""

    hidden: Items[Width] = Field(default=(128, 64), min_length=1)
    """The width of each hidden layer, first to last."""
    activation: Activation = "relu"
    """The activation after each hidden layer."""


class TrunkRecipe(LayersRecipe):
    """A trunk that all targets share: embeddings of the inputs, then hidden layers."""

    block: Literal["dense", "residual", "gated"] = "dense"
    """What a hidden layer is. residual: adds its input. gated: multiplies by a sigmoid gate."""
    normalization: Literal["none", "batch", "layer"] = "none"
    """What normalizes each hidden layer before its activation."""
    numeric_embedding: Literal["none", "periodic", "piecewise_linear"] = "none"
    """What each number becomes before the trunk. periodic: sines and cosines of learned
    frequencies. piecewise_linear: how far it reaches through each of its train quantiles."""
    label_embedding: Width | None = None
    """The width that each label becomes; one input per label when absent."""


class PointOptions(Section):
    """How losses of targets make one."""

    loss: Loss = "mse"
    """The loss of every target that names none; missing cells never count."""
    target_weights: Literal["fixed", "inverse_variance", "learned", "gradnorm"] = "fixed"
    """How targets are weighed against each other, beside their `loss_weight`. inverse_variance:
    by one over the variance of the scaled target, which only the transforms robust, quantile and
    none leave other than 1. learned: by a learned noise level each.
    gradnorm: so that all train at one pace."""
