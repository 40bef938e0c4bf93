"""Faults of training that a user can mend."""

from typing import Any


class Diverged(Exception):
    """A loss that is no number any more, or that has risen beyond all measure.

    `fault`: the step and the part whose loss is no number; `risen`: the train loss of this epoch
    and the loss before training. `network` is the network as it last was good, at the end of
    `good_epoch`; None where it never was. `member` is the same with its preprocessing, where it was
    fitted from that.
    """

    def __init__(
        self,
        epoch: int,
        fault: tuple[int, str] | None,
        network: Any = None,
        good_epoch: int = 0,
        risen: tuple[float, float] | None = None,
    ) -> None:
        self.fault = fault
        self.network = network
        self.good_epoch = good_epoch
        self.member: Any = None
        where = f"at step {fault[0]}, in epoch {epoch}" if fault else f"in epoch {epoch}"
        what = f"the loss of {fault[1]}" if fault else "the validation loss"
        came = f"{what} is no number {where}"
        if risen is not None:
            came = f"the train loss rose to {risen[0]:.3g} {where}, from {risen[1]:.3g} untrained"
        super().__init__(
            f"{came}: try a smaller recipe.learning_rate or "
            "recipe.clip_norm: 1, or look for extreme values"
        )

    def add(self, words: str) -> None:
        """Add a sentence to the message."""
        self.args = (f"{self.args[0]}. {words}",)


class MissingPart(Exception):
    """Something this machine lacks, and how to get it."""


class Unsuitable(ValueError):
    """Data that a target's output or transform cannot take: which, where, and what to do."""


class NotPositiveDefinite(ValueError):
    """A covariance that no random numbers can have: of some mix of them the variance is not
    positive. `least` is its least eigenvalue, NaN where a value of it is no number."""

    def __init__(self, what: str, shape: tuple[int, ...], least: float) -> None:
        self.least = least
        came = f"came {least:.3g}" if least == least else "came a value that is no number"
        super().__init__(
            f"{what}: expected a positive definite covariance {shape}, whose least eigenvalue is "
            f"above 0; {came}: look for targets that say the same, or that never vary, and "
            "leave all but one of them out; or add a small number to the diagonal"
        )


class NotTogether(Exception):
    """Networks that this backend cannot train in one call. The message says why."""
