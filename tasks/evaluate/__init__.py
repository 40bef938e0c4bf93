"""Evaluate: candidate, champion, control and baselines on the same test rows, in units.

In: a contract, a Candidate and its Shards. Out: Scores with `predictions.parquet`,
`slices.parquet`, `paired.npz` and `importance.json`. The models see raw rows through the same
bundle that is published, so what is scored is what will answer. As of a day, the champion's place
is taken by the newest version that is as old as that.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from data_contracts.columns import Feature, Target
from data_contracts.contract import Contract
from tasks.evaluate.scoring import evaluate_candidate
from tasks.evaluate.tables import distribution_rows, group_rows, metric_rows, slice_rows
from tasks.orchestration import stage_task, table
from tasks.records import Candidate, Scores, Shards
from tasks.registry import Version
from tasks.rival import opponent
from tasks.stage import Stage
from tasks.uses import using


def _reads(contract: Contract) -> Any:
    return [
        contract.registered_model,
        contract.source.model_dump(mode="json", include={"as_of"}),
        contract.source.query,
        _measured(contract.features),
        _measured(contract.targets),
        contract.row_weight,
        contract.evaluation.model_dump(mode="json"),
        contract.time,
        contract.key,
        contract.split.model_dump(mode="json"),
        contract.recipe.model_dump(mode="json"),
        [c.model_dump(mode="json", exclude={"enforce"}) for c in contract.constraints],
    ]


def _measured(columns: Mapping[str, Feature] | Mapping[str, Target]) -> Any:
    """What columns mean, in their order: a difference from the champion's is told."""
    return [[name, column.model_dump(mode="json")] for name, column in columns.items()]


STAGE = Stage("evaluate", "scores", Scores, __name__, _reads)


def find(contract: Contract, candidate: Candidate, rival: Candidate | None = None) -> Scores | None:
    """Return the finished scores of a candidate against today's opponent, or None."""
    return STAGE.find(contract, *_inputs(candidate, opponent(contract, candidate), rival))


def _inputs(
    candidate: Candidate, champion: Version | None, rival: Candidate | None
) -> tuple[str, str, str]:
    """Return what the stage's key covers: the candidate and whom it is compared with."""
    return candidate.hash, champion.identity if champion else "", rival.hash if rival else ""


def compare(contract: Contract, candidate: Candidate, rival: Candidate | None = None) -> Scores:
    """Return the scores of a candidate against today's opponent, finished or made now."""
    champion = opponent(contract, candidate)
    return STAGE.run(
        contract,
        *_inputs(candidate, champion, rival),
        work=partial(_work, contract, candidate, champion, rival),
    )


def _work(
    contract: Contract,
    candidate: Candidate,
    champion: Version | None,
    rival: Candidate | None,
    folder: Path,
) -> Scores:
    """Evaluate while nobody can prune the version that is compared with."""
    what = f"evaluate {contract.dataset}"
    held = using(champion.model, champion.version, what) if champion else nullcontext()
    with held:
        return evaluate_candidate(contract, candidate, champion, folder, rival)


@stage_task
def evaluate(
    contract: Contract, candidate: Candidate, shards: Shards, rival: Candidate | None = None
) -> Scores:
    """Score the candidate beside champion and baselines, and show the tables.

    `rival` is the champion's recipe, trained on the same folds, under cross-validation; the
    candidate itself where both have one recipe.
    """
    if candidate.shards.hash != shards.hash:
        raise ValueError("the candidate was trained on other shards than these")
    scores = compare(contract, candidate, rival)
    for name, rows, words in (
        ("metrics", metric_rows(contract, scores), "Errors on the test rows"),
        ("groups", group_rows(contract, scores), "Errors of target groups on the test rows"),
        ("distributions", distribution_rows(contract, scores), "Distributions and intervals"),
        ("slices", slice_rows(contract, scores), "Where the candidate is surely worse"),
    ):
        if rows:
            table(contract.dataset, name, rows, words)
    return scores
