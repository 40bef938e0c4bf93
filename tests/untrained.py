"""A bundle for tests of what answers, and not of what is learned."""

from typing import Any

import numpy as np

from data_contracts.contract import Contract
from tasks.learning.bundle import Bundle, Member
from tasks.learning.conformal import fit_conformal
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.layout import lay_out
from tasks.learning.limits import limits_of
from tasks.learning.networks import architecture
from tasks.learning.shards import to_arrays
from tests.builders import small_rows


def untrained_bundle(contract: Contract, rows: Any = None) -> Bundle:
    """Return a bundle of a network as it is before training, with intervals of some scores."""
    rows = small_rows() if rows is None else rows
    preprocessing = fit_preprocessing(contract, rows)
    layout = lay_out(contract, preprocessing, to_arrays(contract, preprocessing, rows))
    name = contract.recipe.architecture
    kind, limits = architecture(name), limits_of(contract, (1.0, 1.0))
    network = kind.build(contract.recipe, layout)
    settings = kind.settings(contract.recipe, layout)
    scores = np.abs(np.random.default_rng(0).normal(size=(200, 2)))
    conformal = fit_conformal(scores, np.arange(200), [3.0, 0.5])
    return Bundle([Member(network, preprocessing, name, settings, limits)], conformal)
