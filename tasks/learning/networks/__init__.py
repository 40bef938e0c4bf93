"""One network file per architecture, and the registry that finds them by name."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from tasks.learning.architecture import Architecture
from tasks.learning.networks.auto import Auto
from tasks.learning.networks.cvae import Cvae
from tasks.learning.networks.deep_gp import DeepGp
from tasks.learning.networks.ensemble import Ensemble
from tasks.learning.networks.independent import Independent
from tasks.learning.networks.joint_gaussian import JointGaussian
from tasks.learning.networks.mixture import Mixture
from tasks.learning.networks.multi_head import MultiHead
from tasks.learning.networks.quantile import Quantile
from tasks.learning.networks.shared import Shared

GROUP = "polycast.architectures"
BUILT_IN: dict[str, type[Architecture]] = {
    "auto": Auto,
    "shared": Shared,
    "multi_head": MultiHead,
    "independent": Independent,
    "ensemble": Ensemble,
    "joint_gaussian": JointGaussian,
    "deep_gp": DeepGp,
    "cvae": Cvae,
    "mixture": Mixture,
    "quantile": Quantile,
}


class NoArchitecture(ValueError):
    """An architecture that nobody has, or that its package brings but cannot give."""


@cache
def architecture(name: str) -> Architecture:
    """Return an architecture by the name that a recipe has; built-in ones come first.

    Raises NoArchitecture for a name that neither we nor an entry point know, and for a package
    whose entry point cannot be used.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    points = list(entry_points(group=GROUP, name=name))
    if len(points) == 1:
        return _brought(points[0])
    raise NoArchitecture(
        f"architecture {name!r}: expected {', '.join(BUILT_IN)}, or one that exactly one "
        f"installed package brings by an entry point of the group {GROUP}; came {len(points)}"
    )


def _brought(point: EntryPoint) -> Architecture:
    """Return the architecture of a package's entry point."""
    package = point.dist.name if point.dist else "unknown"
    who = f"architecture {point.name!r}, which the package {package} brings"
    try:
        kind = point.load()
    except Exception as fault:  # whatever a stranger's module raises as it is loaded
        raise NoArchitecture(
            f"{who}, cannot be loaded from {point.value}: {type(fault).__name__}: {fault}. "
            "Install what it lacks, mend it, or uninstall it"
        ) from fault
    if not (isinstance(kind, type) and issubclass(kind, Architecture)):
        raise NoArchitecture(f"{who}: {point.value} is no subclass of Architecture")
    if kind.__abstractmethods__:
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise NoArchitecture(f"{who}: {point.value} lacks {missing}")
    made: Architecture = kind()
    return made
