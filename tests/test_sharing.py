"""The control: a network per target beside the candidate, and where sharing helps or hurts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from data_contracts.contract import Contract
from data_contracts.recipes import ARCHITECTURES
from data_contracts.recipes.brought import name_of
from flows.display.scores import metric_table
from tasks.control import control_contract, control_recipe
from tasks.evaluate.scoring import evaluate_candidate
from tasks.judge import judge_scores
from tasks.learning.bundle import load_bundle
from tasks.learning.networks import architecture
from tasks.learning.shards import Arrays
from tasks.learning.sparsity import layer_weights
from tasks.records import Candidate, Score, Scores, Verdict
from tasks.report.errors_table import Table
from tasks.report.sharing import HELPS, HURTS, NEITHER, sharing
from tasks.storage import root_storage
from tasks.train import STAGE
from tests.builders import (
    CANDIDATE,
    plain_layout,
    small_candidate,
    small_contract,
    small_rows,
)

ASKED = {"control": "independent"}


def scored(contract: Contract, folder: Path) -> tuple[Candidate, Scores]:
    candidate = small_candidate(contract, small_rows())
    return candidate, evaluate_candidate(contract, candidate, None, folder)


def test_the_control_is_trained_scored_and_shown_and_no_rule_uses_it(tmp_path: Path) -> None:
    rules = [{"rule": "baseline", "baseline": "mean", "by": -9.0}, {"rule": "champion"}]
    contract = small_contract(evaluation=ASKED, gate={"rules": rules})
    candidate, scores = scored(contract, tmp_path)
    assert scores.models[:2] == ("candidate", "independent")
    assert {s.target for s in scores.scores if s.model == "independent"} == {"a", "b"}
    assert all("independent" not in s.skill for s in scores.scores)
    verdict = judge_scores(contract, scores)
    assert not any("independent" in r.rule + r.reason for r in verdict.rulings)
    console = Console(width=200)
    with console.capture() as shown:
        console.print(metric_table(contract, scores))
    assert "independent" in shown.get()
    assert "independent/a" in pq.read_schema(tmp_path / "predictions.parquet").names
    folder = root_storage().fetch(candidate.place)
    control = load_bundle(folder / "control").members[0]
    assert control.architecture == "independent"
    layers = json.loads((folder / "layers.json").read_text("utf-8"))
    own = load_bundle(folder / "bundle").members[0]
    assert [kernel["layer"] for kernel in layers[0]] == [
        k.layer for k in layer_weights(own.network)
    ]
    assert [layer["layer"] for layer in layers[0]] == ["hidden_0", "targets"]


def test_without_being_asked_there_is_no_control(tmp_path: Path) -> None:
    candidate, scores = scored(small_contract(), tmp_path)
    assert "independent" not in scores.models
    assert not (root_storage().fetch(candidate.place) / "control").exists()


def test_asking_for_a_control_asks_for_another_candidate() -> None:
    without, asked = (small_contract(evaluation=e) for e in ({}, ASKED))
    assert STAGE.place(without, "shards") != STAGE.place(asked, "shards")


def test_a_candidate_that_shares_nothing_needs_no_control() -> None:
    recipe = {"architecture": "independent"}
    assert control_contract(small_contract(evaluation=ASKED, recipe=recipe)) is None


@pytest.mark.parametrize("name", [n for n in map(name_of, ARCHITECTURES) if n != "independent"])
def test_the_control_takes_over_what_both_recipes_have(name: str) -> None:
    options = {"hidden": [7, 5], "activation": "gelu", "dropout": 0.1, "input_noise": 0.3}
    training = {"optimizer": "nadam", "learning_rate": 0.5, "epochs": 7, "batch_size": 3, "seed": 9}
    contract = small_contract(recipe={"architecture": name, **options, **training})
    found = control_recipe(contract.recipe).model_dump(mode="json")
    assert {k: v for k, v in found.items() if k in options} == options
    assert {k: v for k, v in found.items() if k in training} == training
    assert (found["architecture"], found["loss"]) == ("independent", "mse")


def test_the_control_minimizes_the_loss_that_the_candidate_does() -> None:
    recipe = small_contract(recipe={"architecture": "shared", "loss": "huber"}).recipe
    assert control_recipe(recipe).loss == "huber"


def test_each_network_of_the_control_learns_under_the_penalty_it_would_have_alone() -> None:
    def loss(control: bool, targets: list[str]) -> float:
        """The loss of networks with kernels of ones that are right in every row."""
        recipe = {"architecture": "independent" if not control else "shared", "l1": 0.1, "l2": 0.2}
        contract = small_contract(evaluation=ASKED, targets={t: {"unit": "K"} for t in targets})
        contract = contract.model_copy(
            update={"recipe": small_contract(recipe=recipe | {"hidden": [3]}).recipe}
        )
        own = control_contract(contract) if control else contract
        assert own is not None
        zeros = np.zeros((4, len(targets)), np.float32)
        layout = plain_layout(Arrays(np.zeros((4, 2), np.float32), zeros, np.ones(4, np.float32)))
        kind = architecture("independent")
        trainee = kind.trainee(kind.build(own.recipe, layout), own.recipe, layout)
        for kernel in trainee.network.trainable_variables:
            kernel.assign(np.full(kernel.shape, float(kernel.path.endswith("hidden_0/kernel"))))
        output = trainee(layout.train.inputs)
        return float(trainee.compute_loss(layout.train.inputs, zeros, output))

    alone = loss(False, ["a"])
    assert alone == pytest.approx(6 * 0.1 + 6 * 0.2, rel=1e-5)
    assert loss(True, ["a", "b", "c"]) == pytest.approx(alone, rel=1e-5)


def test_shares_of_one_whole_are_plain_numbers_to_the_control(tmp_path: Path) -> None:
    rows = small_rows()
    share = np.random.default_rng(0).random(len(rows))
    for name, values in {"a": share, "b": 1 - share}.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    share_of: dict[str, Any] = {"unit": "1", "output": "softmax", "group": "mix"}
    contract = small_contract(
        evaluation=ASKED,
        targets={"a": share_of, "b": share_of},
        target_groups={"mix": {"whole": 1}},
    )
    candidate = small_candidate(contract, rows)
    folder = root_storage().fetch(candidate.place)
    own, control = (load_bundle(folder / n).predict(rows).mean for n in ("bundle", "control"))
    np.testing.assert_allclose(own.sum(axis=1), 1.0)
    assert np.abs(control.sum(axis=1) - 1).max() > 1e-6


def verdict_of(errors: dict[str, tuple[float, float]]) -> tuple[Contract, Verdict]:
    """A verdict with the candidate's and the control's RMSE of each target."""
    contract = small_contract(targets={t: {"unit": "K"} for t in errors})
    scores = [
        Score(fold=0, model=m, target=t, rows=9, mae=e, rmse=e, r2=None, skill={})
        for t, pair in errors.items()
        for m, e in zip(("candidate", "independent"), pair, strict=True)
    ]
    found = Scores(candidate=CANDIDATE, scores=tuple(scores))
    return contract, Verdict(scores=found, outcome="pass", rulings=())


def test_a_difference_within_one_percent_is_none() -> None:
    errors = {"up": (1.02, 1.0), "down": (0.98, 1.0), "same": (1.009, 1.0), "none": (0.0, 0.0)}
    found = sharing(Table(*verdict_of(errors)))
    assert found is not None
    assert [row.words for row in found.rows] == [HURTS, HELPS, NEITHER, NEITHER]
    assert [row.difference for row in found.rows] == ["+2.0 %", "−2.0 %", "+0.9 %", "—"]
    assert (found.helped, found.hurt, found.compared) == (1, 1, 4)


def test_no_number_is_cut_where_the_terminal_is_narrow() -> None:
    models = ("candidate", "champion", "independent", "persistence", "ridge", "mean")
    names = ["wind_speed_ahead", "temp_ahead"]
    scores = [
        Score(fold=0, model=m, target=t, rows=9, mae=1.0, rmse=18.52, r2=0.926, skill={})
        for t in names
        for m in models
    ]
    contract = small_contract(targets={t: {"unit": "mph"} for t in names})
    console = Console(width=80)
    with console.capture() as shown:
        console.print(metric_table(contract, Scores(candidate=CANDIDATE, scores=tuple(scores))))
    assert "…" not in shown.get()
    assert shown.get().count("18.52") == len(names) * len(models)


def test_of_many_targets_the_table_has_those_that_are_learned_least() -> None:
    contract = small_contract(targets={"level[128]": {"unit": "1"}})
    scores = [
        Score(fold=0, model="candidate", target=t, rows=9, mae=1.0, rmse=1.0, r2=i / 128, skill={})
        for i, t in enumerate(contract.target_columns)
    ]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(metric_table(contract, Scores(candidate=CANDIDATE, scores=tuple(scores))))
    words = " ".join(shown.get().split())
    assert "the 40 of 128 targets with the least R²; the report has all" in words
    rows = [line.split()[0] for line in shown.get().splitlines() if line.startswith(" level_")]
    assert rows == list(contract.target_columns)[:40]


def test_without_a_control_nothing_is_said_of_sharing() -> None:
    contract, verdict = verdict_of({"a": (1.0, 2.0)})
    own = tuple(s for s in verdict.scores.scores if s.model == "candidate")
    scores = verdict.scores.model_copy(update={"scores": own})
    assert sharing(Table(contract, verdict.model_copy(update={"scores": scores}))) is None


def test_the_control_learns_each_target_by_the_loss_that_its_head_has() -> None:
    recipe = {"architecture": "multi_head", "heads": {"b": {"loss": "mae"}}, "loss": "huber"}
    control = control_contract(small_contract(evaluation=ASKED, recipe=recipe))
    assert control is not None
    assert [t.loss for t in control.target_columns.values()] == ["huber", "mae"]
