"""Studies: what is tried, what is kept, what is never read."""

import json
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks import registry
from tasks.errors import WrongRequest
from tasks.learning.errors import MissingPart
from tasks.tuning import engines, nightly, tracking
from tasks.tuning.engines import ray_cluster
from tasks.tuning.proposing import propose
from tasks.tuning.pruning import Past, Pruner
from tasks.tuning.result import best_recipe, front
from tasks.tuning.search import Budget, search
from tasks.tuning.space import space_of
from tasks.tuning.study import Study, open_study, read_trials
from tasks.tuning.trial import Trial
from tasks.tuning.tune import Asked, tune_recipe
from tests.processes import children, words
from tests.tuning import here, kept_shards, own_number, tuned_contract
from tests.walk import surroundings


def done(number: int, changes: dict[str, Any], error: float = 1.0, **other: Any) -> Trial:
    recipe = {"architecture": "shared", "loss": "mse", "target_weights": "fixed"}
    content = {
        "number": number, "origin": "random", "changes": changes, "recipe": recipe,
        "state": "complete", "values": {"error": error, "parameters": 9.0}, "curve": (error,),
    }  # fmt: skip
    return Trial.model_validate(content | other)


def studied(contract: Contract, trials: int, unreadable: tuple[str, ...] = ()) -> Study:
    study = open_study(contract, kept_shards(contract, unreadable))
    search(study, Budget(trials), here)
    return study


def told(study: Study) -> list[Any]:
    return [(t.changes, t.values, t.curve) for t in study.trials]


def test_test_and_calibration_rows_are_not_read_and_a_seed_gives_the_same_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = tuned_contract(pruning="none")
    first = studied(contract, 2)
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "other"))
    blind = studied(contract, 2, unreadable=("test", "calibration"))
    assert told(blind) == told(first)
    # The same in place of rows that are read ends the search.
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "third"))
    with pytest.raises(pa.ArrowInvalid):
        studied(contract, 1, unreadable=("validation",))


def test_a_process_ends_after_some_calls_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "CALLS", 2)
    monkeypatch.setattr(engines, "_trained", own_number)
    with engines.processes(1) as submit:
        found = [submit([]).result() for _ in range(5)]
    assert found[0] == found[1] != found[2] == found[3] != found[4]


KILLED = """
import sys
from tasks.tuning.search import Budget, search
from tasks.tuning.engines import processes
from tasks.tuning.study import open_study
from tests.tuning import kept_shards, tuned_contract
contract = tuned_contract(pruning="none")
study = open_study(contract, kept_shards(contract))
search(study, Budget(50), processes)
"""


def test_a_killed_search_loses_no_finished_trial_and_goes_on_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env=surroundings({"POLYCAST_HOME": str(home)}),
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while len(list(home.glob("tuning/small/*/trials/*.json"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(words, workers)):  # a trial is given up with the search that began it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    before = {f: f.read_bytes() for f in home.glob("tuning/small/*/trials/*.json")}
    monkeypatch.setenv("POLYCAST_HOME", str(home))
    contract = tuned_contract(pruning="none")
    again = open_study(contract, kept_shards(contract))
    assert len(again.trials) == len(before) >= 2
    search(again, Budget(len(before) + 1), here)
    assert all(file.read_bytes() == content for file, content in before.items())
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "whole"))
    last = max(t.number for t in again.trials)
    whole = {t.number: t for t in studied(contract, last + 1).trials}
    for trial in again.trials:
        same = whole[trial.number]
        assert same.recipe == trial.recipe
        assert same.curve == pytest.approx(trial.curve, rel=1e-3)


def tried_in_one_call(text: str) -> list[int]:
    """Return how many networks each call trained that trained several."""
    return [int(n) for n in re.findall(r"(\d+) networks of one shape", text)]


def test_trials_of_one_shape_are_trained_in_one_call_as_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="polycast")
    space = {"hidden": [[4], [8]], "learning_rate": [0.001, 0.01, 0.1], "l2": [0.001, 0.01]}
    contract = tuned_contract({"hidden": [16]}, space=space, strategy="grid", pruning="none")
    study = studied(contract, 13)
    assert tried_in_one_call(caplog.text) == [6, 6]
    assert [t.number for t in study.trials] == list(range(13))
    assert [t.changes for t in study.trials[1:]] == list(space_of(contract).grid())
    caplog.clear()
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "one-by-one"))
    monkeypatch.setattr("tasks.tuning.search.TOGETHER", 1)
    alone = studied(contract, 13)
    assert tried_in_one_call(caplog.text) == []
    for trial, own in zip(study.trials, alone.trials, strict=True):
        assert (trial.changes, trial.best_epoch) == (own.changes, own.best_epoch)
        assert trial.curve == pytest.approx(own.curve, rel=1e-3)
        assert trial.values == pytest.approx(own.values, rel=1e-3)


def test_of_trials_in_one_call_the_worst_are_given_up_and_what_diverges_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="polycast")
    rates = [0.02, 0.014, 0.015, 0.012, 0.018, 0.011, 0.013, 0.016, 1e-7, 1e30, 2e-7]
    recipe = {"optimizer": "sgd", "clip_norm": None, "epochs": 6}
    space = {"learning_rate": rates}
    study = studied(tuned_contract(recipe, space=space, strategy="grid"), 12)
    assert tried_in_one_call(caplog.text) == [8, 3]
    states = {t.changes.get("learning_rate"): t.state for t in study.trials}
    assert states[0.02] == "complete"
    assert (states[1e-7], states[2e-7], states[1e30]) == ("pruned", "pruned", "failed")
    assert all(t.seconds > 0 for t in study.trials)


def test_trials_are_sought_that_are_of_one_shape_as_long_as_no_other_tells_of_them() -> None:
    contract = tuned_contract(strategy="random")
    study = open_study(contract, kept_shards(contract))
    assert [job.trial.number for job in study.begin(None, 8, 40)] == [0], "first how long one takes"
    batch = [job.trial for job in study.begin(None, 4, 39)]
    assert len(batch) == 4
    assert len({json.dumps(t.recipe["hidden"]) for t in batch}) == 1
    skipped = {*range(1, batch[-1].number)} - {t.number for t in batch}
    (least,) = study.begin(None)
    assert least.trial.number == min(skipped)
    bayesian = tuned_contract(strategy="bayesian")
    other = open_study(bayesian, kept_shards(bayesian))
    other.begin(None)
    while len(other.running) < 10:  # those that tpe draws at random
        other.begin(None, 8, 40)
    assert set(other.running) == set(range(10))
    assert [job.trial.number for job in other.begin(None, 8, 40)] == [10]


def test_the_contracts_own_recipe_is_tried_first_and_the_best_is_found() -> None:
    study = studied(tuned_contract({"learning_rate": 1e-4}), 2)
    assert study.own is not None
    assert study.own.recipe["learning_rate"] == 1e-4
    assert study.own.changes == {}  # the space does not hold it
    assert study.best is not None
    assert study.best.error < study.own.error


def test_a_later_study_begins_with_the_best_recipe_of_earlier_ones() -> None:
    contract = tuned_contract(pruning="none")
    first = open_study(contract, kept_shards(contract))
    for trial in (done(0, {}, 0.9), done(1, {"learning_rate": 0.05, "hidden": [16]}, 0.5)):
        recipe = contract.recipe.model_dump(mode="json") | trial.changes
        first.end(trial.model_copy(update={"recipe": recipe}))
    # Other data: nothing but the recipe can be taken over.
    other = tuned_contract(pruning="none")
    shards = first.shards.model_copy(update={"hash": "other rows"})
    second = open_study(other, shards)
    best = first.best
    assert best is not None
    assert second.plan.inherited == ()
    assert second.plan.earlier == (best.changes,)
    (own,), (warm,) = second.begin(None), second.begin(None)
    assert own.trial.origin == "contract"
    assert (warm.trial.origin, warm.trial.changes) == ("earlier study", best.changes)
    # The same data and space, drawn otherwise: the trials themselves are taken over.
    third = open_study(tuned_contract(pruning="none", strategy="random"), first.shards)
    assert [t.changes for t in third.plan.inherited] == [t.changes for t in first.trials]
    assert third.best is not None
    assert third.best.error == best.error
    # The contract has the best recipe now: its own is another, the trials stay what they are.
    applied = contract.model_dump(mode="json") | {"recipe": best.recipe}
    fourth = open_study(type(contract).model_validate(applied), first.shards)
    assert [t.changes for t in fourth.plan.inherited] == [t.changes for t in first.trials]
    assert fourth.trials == []
    # Trained once more, beside others, it is no better than itself.
    (own,) = fourth.begin(None)
    again = best.model_copy(update={"number": 0, "values": best.values | {"error": 0.500001}})
    fourth.end(again.model_copy(update={"recipe": own.trial.recipe, "origin": "contract"}))
    assert fourth.best == fourth.own
    # Another number of epochs is another measure.
    longer = contract.model_dump(mode="json")
    longer["recipe"] |= {"epochs": contract.recipe.epochs + 1}
    fifth = open_study(type(contract).model_validate(longer), first.shards)
    assert fifth.plan.inherited == ()
    # What is written down of it stays, whatever studies come later.
    assert open_study(other, shards).plan == second.plan


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trials_run_on_a_ray_cluster() -> None:
    pytest.importorskip("ray")
    contract = tuned_contract(pruning="none", jobs=2)
    study = open_study(contract, kept_shards(contract))
    search(study, Budget(2), ray_cluster("ray", 0))
    assert [t.state for t in study.trials] == ["complete"] * 2


def test_a_trial_that_diverges_or_disagrees_is_kept_with_the_reason_and_the_search_goes_on() -> (
    None
):
    space = {"learning_rate": [1e-2, 1e30], "optimizer": ["sgd"]}
    study = studied(tuned_contract({"clip_norm": None}, space=space, strategy="grid"), 10)
    assert [t.origin for t in study.trials] == ["contract", "grid", "grid"]
    states = {t.changes.get("learning_rate"): t for t in study.trials[1:]}
    assert states[1e-2].state == "complete"
    assert states[1e30].state == "failed"
    assert "is no number" in states[1e30].why


def test_a_trial_beyond_the_budgets_time_is_given_up_and_not_kept() -> None:
    contract = tuned_contract({"epochs": 100_000, "patience": 100_000})
    study = open_study(contract, kept_shards(contract))
    search(study, Budget(minutes=0.001), here)
    assert study.trials == []
    assert study.running == {}


def test_several_objectives_have_a_front_and_files_tell_all(tmp_path: Path) -> None:
    contract = tuned_contract(objectives=["error", "latency", "parameters"])
    files = tmp_path / "files"
    files.mkdir()
    shards = kept_shards(contract)
    found = tune_recipe(contract, shards, Asked(Budget(2), here), files)
    trials = read_trials(found.study)
    assert all(set(t.values) == {"error", "latency", "parameters"} for t in trials)
    assert found.best is not None
    assert found.best.number in found.front
    page = (files / "report.html").read_text("utf-8")
    for head in ("Best recipe", "History", "Trade-off", "Parallel coordinates"):
        assert head in page
    assert not re.search(r'(href|src)="(?!data:)', page), "it needs no network"
    assert (files / "best.yaml").read_text("utf-8").startswith("recipe:\n  architecture: shared")
    logged(contract, found.study, len(trials))
    tune_recipe(contract, shards, Asked(Budget(3), here), files)
    logged(contract, found.study, 3)


def logged(contract: Contract, place: str, count: int) -> None:
    """See that MLflow has one run of the study and one below it of each trial."""
    client = registry.client()
    own = client.get_experiment_by_name(contract.dataset)
    assert own is not None
    runs = client.search_runs([own.experiment_id])
    (parent,) = [r for r in runs if r.data.tags[tracking.TRIAL_TAG] == tracking.ALL]
    assert parent.data.tags[tracking.STUDY_TAG] == place
    assert parent.data.metrics["trials"] == count
    below = [r for r in runs if r.data.tags.get(tracking.PARENT_TAG) == parent.info.run_id]
    assert sorted(int(r.data.tags[tracking.TRIAL_TAG]) for r in below) == list(range(count))
    assert all("error" in r.data.metrics and "recipe.hidden" in r.data.params for r in below)
    names = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "recipe.diff", "trials.json"} <= names
    mlflow.set_tracking_uri(None)


def test_a_retrain_with_minutes_trains_with_the_best_recipe_so_far() -> None:
    contract = tuned_contract(minutes=1)
    shards = kept_shards(contract)
    assert nightly.tunes(contract)
    assert nightly.find(contract, shards) is None
    study = open_study(contract, shards)
    for trial in (done(0, {}, 0.9), done(1, {"learning_rate": 0.05, "hidden": [16]}, 0.5)):
        recipe = contract.recipe.model_dump(mode="json") | trial.changes
        study.end(trial.model_copy(update={"recipe": recipe}))
    from tasks.tuning.tune import STAGE

    found = STAGE.run(
        contract, shards.hash,
        work=lambda folder: tune_recipe(contract, shards, Asked(Budget(2), here), folder),
    )  # fmt: skip
    trained = nightly.find(contract, shards)
    assert trained is not None
    assert trained.recipe == best_recipe(contract, found)
    assert trained.recipe.learning_rate == 0.05
    assert "trial 1 has validation error 0.5000, 44.4 % below" in str(trained.tuning)
    assert not nightly.tunes(trained), "a contract that says where its recipe is from tunes no more"
    assert Contract.model_validate_json(trained.model_dump_json()) == trained


def test_a_dataset_of_folds_is_refused() -> None:
    contract = tuned_contract()
    shards = kept_shards(contract)
    folds = shards.model_copy(update={"folds": shards.folds * 2})
    with pytest.raises(WrongRequest, match=r"--set evaluation\.folds=null"):
        open_study(contract, folds)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_the_gaussian_process_without_torch_is_refused() -> None:
    contract = tuned_contract(sampler="gp")
    with pytest.raises(MissingPart, match=r"needs torch: pip install 'polycast\[tuning-gp\]'"):
        open_study(contract, kept_shards(contract))


def test_the_gaussian_process_proposes() -> None:
    pytest.importorskip("torch")
    tuning = tuned_contract(sampler="gp").tuning
    assert tuning is not None
    space = space_of(tuned_contract())
    known = [
        done(i, {"learning_rate": 0.002 * (i + 1), "hidden": [8]}, 1 / (i + 1)) for i in range(12)
    ]
    assert space.holds(propose(tuning, space, known, [], 12) or {})


def test_a_grid_is_every_combination_once_and_then_ends() -> None:
    space = {"dropout": {"low": 0, "high": 0.2, "step": 0.1}, "l2": [0.0, 0.1]}
    contract = tuned_contract(space=space, strategy="grid")
    assert contract.tuning is not None
    ended: list[Trial] = []
    while (
        changes := propose(contract.tuning, space_of(contract), ended, [], len(ended))
    ) is not None:
        ended.append(done(len(ended), changes))
    assert [(t.changes["dropout"], t.changes["l2"]) for t in ended] == [
        (d, p) for d in (0, 0.1, 0.2) for p in (0.0, 0.1)
    ]


def test_the_fields_of_a_trial_are_those_of_its_architecture() -> None:
    space = {"members": [4, 8], "architecture": ["shared", "ensemble"], "block": ["residual"]}
    contract = tuned_contract(space=space, strategy="grid")
    points = list(space_of(contract).grid())
    assert points == [
        {"architecture": "shared", "block": "residual"},
        {"architecture": "ensemble", "members": 4},
        {"architecture": "ensemble", "members": 8},
    ]
    drawn = tuned_contract(space=space, strategy="random")
    assert drawn.tuning is not None
    for number in range(8):
        found = propose(drawn.tuning, space_of(drawn), [], [], number)
        assert found in points


def test_bayesian_draws_near_what_was_good_and_random_does_not() -> None:
    errors = {}
    for strategy in ("bayesian", "random"):
        contract = tuned_contract(strategy=strategy, space={"l2": {"low": 0.0, "high": 1.0}})
        assert contract.tuning is not None
        ended: list[Trial] = []
        for number in range(40):
            changes = propose(contract.tuning, space_of(contract), ended, [], number) or {}
            ended.append(done(number, changes, (changes["l2"] - 0.7) ** 2))
        errors[strategy] = sum(t.error for t in ended[20:])
    assert errors["bayesian"] < 0.5 * errors["random"]


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_pruning_gives_up_the_worst_and_not_the_best(name: str) -> None:
    kind = ("shared", "mse", "fixed")
    past: list[Past] = []

    def epochs(level: float, own: tuple[str, ...] = kind) -> int:
        pruner = Pruner(name, 27, past, own)
        curve: list[float] = []
        while len(curve) < 27:
            curve.append(level + 1 / (len(curve) + 1))
            if pruner.gives_up(len(curve), curve[-1]):
                break
        past.append(Past(own, len(curve) == 27, tuple(curve), pruner.marks))
        return len(curve)

    for i in range(20):
        epochs(1 + 0.1 * (i % 5))
    ends = [(epochs(0.1), epochs(9.0)) for _ in range(4)]
    assert all(best == 27 for best, _ in ends)
    assert min(worst for _, worst in ends) < 27
    assert epochs(99.0, ("ensemble", "mse", "fixed")) == 27, "other losses are not held against it"


def test_trials_of_a_study_of_fewer_objectives_do_not_hold_up_one_of_more() -> None:
    contract = tuned_contract(objectives=["error", "latency"])
    assert contract.tuning is not None
    changes = {"learning_rate": 0.01, "hidden": [8]}
    known = [done(0, changes), done(1, changes, state="pruned", values={})]
    assert propose(contract.tuning, space_of(contract), known, [], 2)
    assert front(known, ["error", "latency"]) == []


def test_a_front_is_what_no_other_beats() -> None:
    points = [(0.5, 10), (0.4, 20), (0.6, 20), (0.3, 90), (0.5, 10)]
    trials = [
        done(i, {}, values={"error": e, "parameters": float(p)}) for i, (e, p) in enumerate(points)
    ]
    assert [t.number for t in front(trials, ["error", "parameters"])] == [0, 1, 3, 4]
    assert front(trials, ["error"]) == []
