"""Extra trees that see what a blend answered for all targets, beside the inputs.

Where targets depend on each other, or errors on inputs, they find what is left to find. They learn
from answers to rows that were held out, as those are that they will see.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.trees import Trees, as_arrays, grow_extra_trees

Values = NDArray[np.float64]
Cuts = list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""By fold, the rows fitted on and those held out."""
TREES = 200


def grow_stacked(
    inputs: NDArray[np.float32],
    answers: Values,
    targets: Values,
    weight: Values,
    cuts: Cuts,
    seed: int,
) -> tuple[Values, Trees]:
    """Return what trees said of rows held out (n, targets), and all trees together.

    `answers` (n, targets) are the blend's; `targets` have none missing.
    """
    seen, count = seen_by_stack(inputs, answers), -(-TREES // len(cuts))
    said, grown = np.zeros_like(targets), list[Any]()

    def grow(fold: int) -> list[Any]:
        fitted, held = cuts[fold]
        model = grow_extra_trees(seen[fitted], targets[fitted], weight[fitted], count, seed + fold)
        said[held] = model.predict(seen[held]).reshape(-1, targets.shape[1])
        return list(model.estimators_)

    with ThreadPoolExecutor() as pool:
        for trees in pool.map(grow, range(len(cuts))):
            grown += trees
    return said, as_arrays(grown, 1 / len(grown), np.zeros(targets.shape[1]))


def seen_by_stack(inputs: NDArray[np.float32], answers: Values) -> NDArray[np.float32]:
    """Return inputs with a blend's answers after them."""
    return np.concatenate([inputs, answers.astype(np.float32)], axis=1)
