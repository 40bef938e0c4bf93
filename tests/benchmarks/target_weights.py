"""Each way of weighing targets against each other, measured against equal weights.

python -m tests.benchmarks.target_weights [--quick] [--json FILE]

One shared network per way, set and seed, all else alike. Figures by set and way: `armse` (the mean
over targets of RMSE over the train mean's) and `of_fixed`, that over what equal weights reach.
"""

import logging

import numpy as np

from data_contracts.contract import Contract
from tasks.backends import backend
from tests.benchmarks.architectures import Judge
from tests.benchmarks.harness import Figures, run
from tests.benchmarks.sets import DataSet, nyc_weather, outside_set

WAYS = ("fixed", "inverse_variance", "learned", "gradnorm")
OUTSIDE = ("enb", "scm20d", "air_quality_uci")


def measure(quick: bool) -> Figures:
    """Train on each set in each way; `quick` takes one seed, few rows and few epochs."""
    logging.getLogger("tensorflow").setLevel("ERROR")  # it wonders at so many networks
    figures: Figures = {}
    for found in (nyc_weather(), *map(outside_set, OUTSIDE[:1] if quick else OUTSIDE)):
        if found is None:
            continue
        data = found.capped(512) if quick else found
        reached = {way: _armse(data, way, quick) for way in WAYS}
        for way, value in reached.items():
            figures[f"{data.name}.{way}.armse"] = value
            figures[f"{data.name}.{way}.of_fixed"] = value / reached["fixed"]
    return figures


def _armse(data: DataSet, way: str, quick: bool) -> float:
    """Return the mean over seeds."""
    from tasks.learning.fitting import fit

    judge, found = Judge(data), []
    for seed in range(1 if quick else 3):
        recipe = {"architecture": "shared", "target_weights": way, "seed": seed}
        recipe |= {"epochs": 2 if quick else 60}
        content = data.contract.model_dump(mode="json") | {"recipe": recipe}
        contract = Contract.model_validate(content)
        bundle, _ = fit(contract, data.train, data.validation, compiler=backend())
        found.append(np.mean(judge.rmse(bundle.predict(data.test).mean) / judge.mean))
    return float(np.mean(found))


if __name__ == "__main__":
    run(measure, "Ways of weighing targets, against equal weights")
