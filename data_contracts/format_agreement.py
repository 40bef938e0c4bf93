"""Whether the formats that a contract publishes can carry what its model answers with."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_contracts.columns import Target
from data_contracts.learning_agreement import effective_losses
from data_contracts.recipes.brought import brought
from data_contracts.section import Refusal

if TYPE_CHECKING:
    from data_contracts.contract import Contract

SAMPLED = ("joint_gaussian", "deep_gp", "mixture")
"""Architectures whose mean is one of samples where what is learned is bent or bounded."""
SPREADS = {"gaussian_nll", "crps"}
"""Losses by which a target has a deviation."""


def format_disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield each format that cannot carry a part of the model, with the part's name."""
    seen: set[str] = set()
    why = next(_parts(contract), None)
    for i, name in enumerate(contract.publishing.formats):
        path = ("publishing", "formats", i)
        if name in seen:
            yield Refusal(path, "each format once", name)
        elif why is not None:
            part, hint = why
            expected = f"no format, since {name} cannot carry {part}"
            yield Refusal(path, expected, name, hint)
        elif name == "keras" and contract.recipe.architecture == "auto":
            expected = "another format, since keras cannot carry the trees of architecture auto"
            yield Refusal(path, expected, name, "choose saved_model or onnx, or remove it")
        seen.add(name)


def _parts(contract: "Contract") -> Iterator[tuple[str, str]]:
    """Yield what no format carries, and what to do."""
    name, alone = contract.recipe.architecture, "or remove it: pyfunc carries all"
    if name in brought():
        part = f"architecture {name}, which a package brings: its code is needed to answer"
        yield part, f"choose an architecture of Polycast's own, {alone}"
    if name == "cvae":
        part = "architecture cvae, whose mean is taken over latent vectors"
        yield part, f"choose joint_gaussian, {alone}"
    if held := next((c.holds for c in contract.constraints if c.enforce), None):
        part = f"the enforced constraint {held}, which is held by a search"
        yield part, f"leave enforce out, {alone}"
    targets = contract.targets.items()
    if name == "quantile" and (share := _first(contract, ("softmax",), ())):
        yield f"shares of one whole ({share}) of architecture quantile", f"choose shared, {alone}"
    bent = _first(contract, ("sigmoid", "softplus", "relu", "exp", "softmax"), BENT)
    spread = all(effective_losses(contract, t) <= SPREADS for t, _ in targets)
    if bent and (name in SAMPLED or (name in POINTS and spread)):
        part = f"the mean of samples, which architecture {name} answers with, as {bent}"
        yield part, f"choose output linear and transform standard, {alone}"


BENT = ("log1p", "yeo_johnson", "quantile")
POINTS = ("shared", "multi_head", "independent")


def _first(contract: "Contract", outputs: tuple[str, ...], transforms: tuple[str, ...]) -> str:
    """Return in words the first target with one of these outputs or transforms."""
    return next(
        filter(None, (_said(n, t, outputs, transforms) for n, t in contract.targets.items())), ""
    )


def _said(name: str, target: Target, outputs: tuple[str, ...], transforms: tuple[str, ...]) -> str:
    if target.output in outputs:
        return f"{name} has output {target.output}"
    return f"{name} has transform {target.transform}" if target.transform in transforms else ""
