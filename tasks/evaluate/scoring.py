"""Score a candidate: the test rows of each fold go by once, in blocks, past every model.

In: a contract, a Candidate, the version to compare with. Out: Scores, with the files that they
name. Memory does not grow with the test rows, but for 8 bytes of each.
"""

import json
from pathlib import Path

from data_contracts.contract import Contract
from data_contracts.source import iso
from tasks.evaluate.blocks import Answering
from tasks.evaluate.fold_sums import FoldSums
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.opponent import Rival
from tasks.evaluate.predictions_file import PredictionsFile
from tasks.evaluate.run_sums import RunSums
from tasks.records import Candidate, Opponent, Scores
from tasks.registry import Version
from tasks.slices_file import write_slices


def evaluate_candidate(
    contract: Contract,
    candidate: Candidate,
    champion: Version | None,
    folder: Path,
    rival: Candidate | None = None,
) -> Scores:
    """Score a candidate, the version to compare with, the control and the baselines.

    With several folds the champion's place is taken by `rival`, its recipe trained on the same
    folds. Writes the files of Scores into `folder`. Raises DataError where no verdict can be
    reached.
    """
    inputs = Inputs(contract, candidate, rival)
    met = inputs.meet(champion)
    sums = RunSums(contract, inputs.tests, inputs.slicer, inputs.names(met))
    with PredictionsFile(contract, inputs.names(met), folder / "predictions.parquet") as file:
        passed = [_pass(inputs, met, test.fold, sums, file) for test in inputs.tests]
    folds = [fold for fold, _ in passed]
    sums.paired.save(folder / "paired.npz")
    sums.parts.save(folder / "paired_slices.npz")
    write_slices(sums.slices(), folder / "slices.parquet")
    (folder / "importance.json").write_text(json.dumps(inputs.importance()), "utf-8")
    return Scores(
        candidate=candidate,
        scores=tuple(s for fold in folds for s in fold.scores()),
        joint=tuple(j for fold in folds for j in fold.joint()),
        worst=tuple(sums.worst()),
        coverage_errors=tuple(sums.coverage_errors()),
        constraints=tuple(c for fold in folds for c in fold.counts()),
        opponent_facts=_facts(met, sums, [asked for _, asked in passed]) if met else None,
        cost=inputs.cost(),
        champion=champion.version if champion else None,
        champion_note=met.note if met else "",
        as_of=iso(contract.source.as_of) if contract.source.as_of else None,
    )


def _pass(
    inputs: Inputs, met: Rival | None, fold: int, sums: RunSums, file: PredictionsFile
) -> tuple[FoldSums, Answering]:
    """Let the test rows of a fold go by; return its sums, and what was asked."""
    contract, models = inputs.contract, inputs.models(fold, met)
    asked = Answering(contract, models, fold, inputs.fresh(met))
    found = FoldSums(contract, fold, inputs.names(met), inputs.spreads(fold))
    test = next(test for test in inputs.tests if test.fold == fold)
    for rows in test.blocks(inputs.block_rows(models)):
        block = asked(rows)
        for sink in (found, sums, file):
            sink.add(block)
    asked.check()
    return found, asked


def _facts(met: Rival, sums: RunSums, folds: list[Answering]) -> Opponent:
    """Return what is known of the version once the test rows have gone by."""
    found = {
        "test_rows": sum(asked.rows for asked in folds),
        "fresh_rows": sum(asked.fresh_rows for asked in folds),
        "order": sums.order,
    }
    return met.facts.model_copy(update=found)
