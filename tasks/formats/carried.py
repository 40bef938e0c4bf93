"""What no exported model can carry of a bundle. The contract's check says the same beforehand
(`data_contracts/format_agreement.py`), where the contract alone tells."""

from tasks.learning.bundle import Bundle, Member
from tasks.learning.networks import BUILT_IN
from tasks.learning.networks.point import PointArchitecture


def not_carried(bundle: Bundle) -> str:
    """Return which part of a bundle an exported model cannot carry, "" where it carries all."""
    return next(filter(None, map(_member, bundle.members)), "")


def _member(member: Member) -> str:
    name = member.architecture
    if name not in BUILT_IN:
        return f"the architecture {name}, which a package brings: its code is needed to answer"
    if name == "cvae":
        return "the architecture cvae: its mean is taken over latent vectors"
    if member.limits.relations:
        return "enforced constraints: they are held by a search for the nearest prediction"
    if name == "quantile" and member.limits.shares:
        return "shares of one whole of the architecture quantile"
    if not member.exact and _samples(member):
        return (
            f"the mean of samples, which the architecture {name} answers with where a target's "
            "transform is bent or its output is bounded"
        )
    return ""


def _samples(member: Member) -> bool:
    """Whether a mean that is not that of scaled values is taken over samples."""
    kind = BUILT_IN[member.architecture]
    if member.architecture == "ensemble" or not issubclass(kind, PointArchitecture):
        return member.architecture in ("joint_gaussian", "deep_gp", "mixture")
    return len(member.settings["deviations"]) == len(member.preprocessing.targets)
