"""ClimSim's contract, trained and judged on small files: levels that stand still decide nothing."""

import math
from pathlib import Path

import pytest

from data_contracts.contract import Contract
from tasks.evaluate.scoring import evaluate_candidate
from tasks.judge import judge_scores
from tasks.report.decision import rules
from tasks.sources.climsim import climsim
from tests.builders import small_candidate
from tests.test_shipped_sources import snapshot, write_climsim

STILL = {f"ptend_q0001_{i}" for i in range(5)}


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_levels_that_stand_still_neither_fail_nor_divide_by_nothing(tmp_path: Path) -> None:
    write_climsim(tmp_path / "files", columns=40)
    own, rows = snapshot("climsim", climsim(str(tmp_path / "files")), tmp_path / "out")
    split = {"kind": "random", "train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2}
    recipe = {"architecture": "shared", "hidden": [8], "epochs": 2, "batch_size": 32}
    content = own.model_dump(mode="json") | {"split": split, "recipe": recipe}
    contract = Contract.model_validate(content)
    candidate = small_candidate(contract, rows)
    scores = evaluate_candidate(contract, candidate, None, tmp_path)
    for score in scores.scores:
        told = (score.rmse, score.mae, score.r2 or 0.0, score.rrmse or 0.0, *score.skill.values())
        assert all(map(math.isfinite, told)), score
    verdict = judge_scores(contract, scores)
    silent = {r.target for r in verdict.rulings if "does not vary in the train rows" in r.reason}
    assert silent == STILL
    assert all(r.passed for r in verdict.rulings if r.target in STILL)
    by_rule = {view.rule: view for view in rules(verdict)}
    assert by_rule["rmse below mean"].summary.endswith("of 115; 5 with nothing to judge")
