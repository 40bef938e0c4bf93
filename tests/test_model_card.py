"""The model card: what a version predicts, how well, and where not to trust it."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.publish.model_card import LONGEST, MOST_ROWS, description, model_card
from tasks.records import (
    Approval,
    Checked,
    Distribution,
    Effect,
    Fold,
    Ruling,
    Score,
    Scores,
    Shards,
    SliceScore,
    Snapshot,
    Verdict,
)
from tasks.storage import root_storage
from tests.builders import CANDIDATE, small_contract, small_rows

COUNTS = {"train": 150, "validation": 0, "calibration": 0, "test": 50, "gap": 0}


def stored(rows: pa.Table) -> Shards:
    """Return shards of stored rows: the first 150 are train rows, the others test rows."""
    storage = root_storage()
    with storage.write("snapshots/small/a") as work:
        pq.write_table(rows, work.folder / "rows.parquet")
        work.record = {}
    with storage.write("shards/small/a") as work:
        split = np.where(np.arange(len(rows)) < 150, "train", "test")
        splits = pa.table({"_row": rows.column("_row"), "fold_0": split})
        pq.write_table(splits, work.folder / "splits.parquet")
        work.record = {}
    with storage.write("candidates/small/a") as work:
        shares = {"networks": 0.25, "kernel": 0.75}
        (work.folder / "shares.json").write_text(json.dumps(shares), "utf-8")
        work.record = {}
    snapshot = Snapshot(
        place="snapshots/small/a", hash="c0ffee" * 8, rows=200, columns={}, source=""
    )
    checked = Checked(snapshot=snapshot, rows=197, quarantined=3, expectations=1)
    fold = Fold(index=0, rows=COUNTS, inputs=5)
    return Shards(place="shards/small/a", checked=checked, folds=(fold,), targets=("a", "b"))


def score(model: str, target: str, rmse: float, **changes: Any) -> Score:
    return Score(
        fold=0, model=model, target=target, rows=50, mae=rmse / 2, rmse=rmse, r2=0.75, skill={},
        **changes,
    )  # fmt: skip


def verdict(
    scores: dict[str, Any] | None = None, rows: pa.Table | None = None, **changes: Any
) -> Verdict:
    """Return a passed verdict on two models; `scores` are changes to its Scores."""
    changed = {"shards": stored(rows or small_rows()), "place": "candidates/small/a"}
    candidate = CANDIDATE.model_copy(update=changed)
    models = {"candidate": 1.25, "champion": 1.5}
    found = tuple(score(m, t, rmse) for m, rmse in models.items() for t in ("a", "b"))
    content = {"candidate": candidate, "scores": found} | (scores or {})
    held = Ruling(
        rule="rmse below mean", target="a", passed=True, blocks=True, value=1, limit=2, reason=""
    )
    return Verdict(scores=Scores(**content), outcome="pass", rulings=(held,), **changes)


def card(found: Verdict, contract: Contract | None = None) -> str:
    return model_card(contract or small_contract(), found, root_storage())


def test_it_says_what_is_predicted_from_which_rows() -> None:
    text = card(verdict(), small_contract(description="A small set."))
    assert text.startswith("# small\n\nA small set.\n")
    assert "| `b` |  | Pa | – | critical |" in text
    assert "snapshot `c0ffeec0ffeec0ff`: 200 rows, 3 of them in quarantine" in text
    assert "Rows from 2024-01-01 to 2024-01-09T07:00:00Z (UTC)" in text
    assert "Split: random: train 150, validation 0, calibration 0, test 50, gap 0" in text


def test_it_tells_what_the_answer_is_blended_of_and_that_rows_are_kept() -> None:
    text = card(verdict())
    assert "The answer is blended of networks 25%, kernel 75%." in text
    assert "The kernel's part holds the scaled inputs of its train rows." in text


def test_it_tells_each_targets_error_beside_the_other_models() -> None:
    text = card(verdict())
    assert "| RMSE this model | RMSE champion before | MAE | R² |" in text
    assert "| `a` | K | 50 | 1.25 | 1.5 | 0.625 | 0.75 |" in text


def test_it_tells_how_many_truths_its_intervals_hold() -> None:
    assert "It answers without intervals." in card(verdict())
    shape = Distribution(crps=1, levels=(0.5, 0.9), coverage=(0.5, 0.89), width=(1.0, 4.25))
    own = (score("candidate", "a", 1.0, distribution=shape),)
    assert "| `a` | 89.0% | 4.25 K |" in card(verdict({"scores": own}))


def test_it_tells_the_verdict_with_who_approved_and_what_did_not_hold() -> None:
    missed = Ruling(
        rule="rmse at most 1", target="b", passed=False, blocks=False, value=2, limit=1,
        reason="rmse 2 Pa, limit 1 Pa",
    )  # fmt: skip
    whole = Effect(
        target="all", rows=50, blocks=50, ratio=0.95, low=0.9, high=0.99, detectable=0.03,
        p_worse=0.001, p_better=0.02,
    )  # fmt: skip
    approval = Approval(decision="approved", by="Ana", when="2026-01-02T08:00:00Z", reason="fine")
    found = verdict(effects=(whole,), approval=approval, rebaseline="a new sensor")
    text = card(found.model_copy(update={"rulings": (*found.rulings, missed)}))
    assert "pass: 1 of 2 rulings hold." in text
    assert "Error against the champion's, over all critical targets: -5.0%, -10.0% to -1.0%" in text
    assert "Approved by Ana, 2026-01-02T08:00:00Z: fine." in text
    assert "on purpose: a new sensor." in text
    assert "- `b`: rmse at most 1: rmse 2 Pa, limit 1 Pa" in text


def test_it_names_the_weak_parts_and_the_range_of_the_train_rows() -> None:
    worst = SliceScore(slice="place=here", target="a", rows=31, mae=2, rmse=2.5, ratio=2, low=1.4)
    text = card(verdict({"worst": (worst,)}))
    assert "| place=here | `a` | 31 | 2.5 | 2.00 |" in text
    train = np.asarray(small_rows().column("x").to_numpy()[:150], "float64")
    low, high = np.nanmin(train), np.nanmax(train)
    assert f"| `x` | {low:.4g} to {high:.4g} | m |" in text


def test_it_says_how_the_version_is_loaded() -> None:
    assert 'load_model("models:/small@champion")' in card(verdict())
    assert 'load_model("models:/small/VERSION")' in card(verdict({"as_of": "2024-01-05"}))


@pytest.mark.parametrize("hostile", ["<script>", "a | b", "[link](javascript:x)", "two\nlines"])
def test_text_of_a_contract_is_neither_markup_nor_a_new_cell(hostile: str) -> None:
    targets = {"a": {"unit": "K", "description": hostile}, "b": {"unit": "Pa"}}
    text = card(verdict(), small_contract(targets=targets))
    row = next(line for line in text.splitlines() if line.startswith("| `a` |"))
    assert row.replace("\\|", "").count("|") == 6
    assert "<script>" not in text
    assert "[link]" not in text


def test_very_many_targets_are_counted() -> None:
    rows = small_rows()
    for i in range(130):
        rows = rows.append_column(f"t_{i}", rows.column("a"))
    text = card(verdict(rows=rows), small_contract(targets={"t[130]": {"unit": "K"}}))
    assert "| `t[130]` |  | K |" in text
    assert f"\n{130 - MOST_ROWS} more." in text


def test_a_card_too_long_for_a_description_is_cut_at_a_line() -> None:
    assert description("# short\n") == "# short\n"
    cut = description("# long\n" + "| a line |\n" * 1000)
    assert len(cut) <= LONGEST
    assert cut.endswith("| a line |\n\n… The whole card is `model_card.md`, beside the bundle.")
