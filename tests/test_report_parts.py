"""The report's parts: champion, intervals, slices, importance, drift, and what decided."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.drift import Drift
from tasks.records import (
    Approval,
    Cost,
    Difference,
    Distribution,
    Effect,
    JointScore,
    Opponent,
    Publication,
    Scores,
    SliceScore,
    Verdict,
)
from tasks.report import drawing
from tasks.report.correlation import BLOCK, residual_correlation
from tasks.report.numbers import percent, plain, probability
from tasks.report.sources import ReportSources
from tests.test_report import ROWS, Case, Page, heading, ruling, words
from tests.test_report_network import section


class Whole(Case):
    """A run whose records and files may hold every part of the page."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.scored: dict[str, dict[str, Any]] = {}
        """Changes to the scores of a model."""
        self.added: dict[str, Any] = {}
        """Changes to the Scores."""
        self.judged: dict[str, Any] = {}
        """Changes to the Verdict."""
        self.version: str | None = "8"
        self.files: dict[str, Any] = {}
        """Changes to the sources."""

    def scores(self, names: tuple[str, ...]) -> Scores:
        found = super().scores(names)
        changed = [s.model_copy(update=self.scored.get(s.model, {})) for s in found.scores]
        return found.model_copy(update={"scores": tuple(changed), **self.added})

    def publication(self, contract: Contract) -> Publication:
        found = super().publication(contract)
        verdict: Verdict = found.verdict.model_copy(update=self.judged)
        return found.model_copy(update={"verdict": verdict, "version": self.version})

    def sources(self, contract: Contract) -> ReportSources:
        return replace(super().sources(contract), **self.files)


@pytest.fixture
def case(tmp_path: Path) -> Whole:
    """A run of three targets that passed."""
    return Whole(tmp_path)


def effect(target: str, ratio: float, low: float, high: float, **changes: Any) -> Effect:
    return Effect(
        target=target, rows=2879, blocks=80, ratio=ratio, low=low, high=high, detectable=0.031,
        p_worse=0.0004, p_better=0.25, **changes,
    )  # fmt: skip


OPPONENT = Opponent(
    version="7", trained="2026-01-01T02:30:00Z", test_rows=3839, fresh_rows=2879, order="time",
    shared=("temp", "humid"),
    differences=(
        Difference(kind="unit", name="flux", words="was in kW, is in W now", parts=True),
        Difference(kind="feature added", name="x", words="is new"),
    ),
)  # fmt: skip


def against(case: Whole, *effects: Effect) -> str:
    case.judged["effects"] = effects
    case.added["opponent_facts"] = OPPONENT
    return section(case.write(), "against")


def test_the_comparison_tells_change_interval_power_and_p_of_each_target(case: Whole) -> None:
    found = against(case, effect("all", 0.99, 0.97, 1.01), effect("temp", 0.9, 0.85, 0.96))
    row = "better −10.0 % −15.0 % to −4.0 % 3.1 % &lt; 0.001 0.25 2,879 80"
    assert f"temp {row}" in found
    assert found.index("all targets together no worse") < found.index(f"temp {row}")


def test_the_comparison_tells_on_which_rows_it_was_made(case: Whole) -> None:
    found = against(case, effect("temp", 0.9, 0.85, 0.96))
    assert "Version 7, registered 2026-01-01" in found
    assert "has not seen 2,879 of 3,839 (75 %) test rows" in found
    assert "blocks of rows that follow one another in time" in found


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.9, 0.99, "better"),
        (0.99, 1.01, "no worse"),
        (0.99, 1.05, "cannot tell"),
        (1.01, 1.03, "cannot tell"),
        (1.03, 1.05, "worse"),
    ],
)
def test_an_interval_is_read_against_no_change_and_the_margin(
    case: Whole, low: float, high: float, says: str
) -> None:
    assert f"temp {says} " in against(case, effect("temp", (low + high) / 2, low, high))


def test_the_forest_plot_has_one_axis_for_all_rows(case: Whole) -> None:
    case.judged["effects"] = [effect("temp", 0.9, 0.8, 1.0), effect("humid", 1.1, 1.0, 1.2)]
    case.added["opponent_facts"] = OPPONENT
    own = case.write().partition('<section id="against"')[2]
    points = [float(p) for p in re.findall(r'class="point"[^>]*left: ([0-9.]+)%', own)]
    assert points[0] + points[1] == pytest.approx(100)
    assert points[0] < 50
    assert "+20 %" in own


def test_an_interval_without_an_end_is_drawn_to_the_edge(case: Whole) -> None:
    found = against(case, effect("temp", 1.0, 0.9, float("inf")))
    assert "temp cannot tell 0.0 % −10.0 % to —" in found


def test_an_effect_in_a_part_of_the_rows_names_it(case: Whole) -> None:
    found = against(case, effect("temp", 0.9, 0.8, 0.95, slice="season=winter"))
    assert "temp season=winter better" in found


def test_what_differs_between_the_contracts_is_told_with_what_follows(case: Whole) -> None:
    found = against(case)
    assert "unit flux was in kW, is in W now not compared with the champion" in found
    assert "feature added x is new compared all the same" in found


def test_why_nothing_is_compared_is_told(case: Whole) -> None:
    case.contract = {"gate": {"rules": [{"rule": "champion"}]}}
    assert "no paired comparison: the rulings below say why" in against(case)
    case.contract = {"gate": {"rules": [{"rule": "baseline", "baseline": "mean"}]}}
    assert "no paired comparison: no rule of the gate asks for one" in against(case)


def test_a_first_version_has_no_comparison(case: Whole) -> None:
    text = case.write()
    assert 'id="against"' not in text
    assert "#against" not in text


def test_a_champion_that_does_not_record_its_rows_is_told_so(case: Whole) -> None:
    case.added["opponent_facts"] = OPPONENT.model_copy(update={"split_known": False})
    assert "does not record which rows it has seen" in section(case.write(), "against")


def deciders(case: Whole) -> list[str]:
    """The words of each of the numbers that decided."""
    own = case.write().partition('<ol class="deciders">')[2].partition("</ol>")[0]
    return [" ".join(re.sub("<[^>]*>", " ", li).split()) for li in own.split("<li")[1:]]


def test_three_numbers_decided_the_failed_ones_first_in_their_unit(case: Whole) -> None:
    case.rulings = [
        ruling("humid", reason="2 %, limit 3.5 %"),
        ruling("temp", passed=False, reason="3.71 °F, limit 3.5 °F"),
        ruling("humid", rule="another", value=3.4, reason="close"),
        ruling("flux", rule="a third", value=1.0, reason="far"),
        ruling("all", rule="a fourth", value=0.5, reason="0.5 MB, limit 3.5 MB"),
    ]
    found = deciders(case)
    assert len(found) == 3
    assert "✘ Failed 3.71 °F limit 3.5 °F" in found[0]
    assert "✔ Holds 3.4 limit 3.5 ·" in found[1]


def test_a_number_of_the_paired_test_is_told_as_a_change(case: Whole) -> None:
    case.judged["effects"] = [effect("temp", 0.99, 0.97, 1.013)]
    case.rulings = [ruling("temp", value=1.013, limit=1.02, reason="no worse")]
    assert "+1.3 % limit +2.0 %" in deciders(case)[0]


def test_more_failures_than_three_are_counted(case: Whole) -> None:
    case.rulings = [ruling(t, passed=False, rule=r) for t in ("temp", "humid") for r in "abc"]
    assert "3 more failed: see the rulings" in words(case.write())


def test_a_ruling_that_cannot_be_told_is_marked_so_everywhere(case: Whole) -> None:
    case.outcome, case.version = "insufficient evidence", None
    unsure = {"passed": False, "unsure": True, "reason": "too few"}
    case.rulings = [ruling("humid"), ruling("temp", **unsure)]
    text = case.write()
    assert "the evidence does not suffice (temp)" in heading(text)
    assert deciders(case)[0].startswith('class="unsure"> ? Cannot tell')
    assert "? Cannot tell temp too few" in section(text, "rulings")


def test_an_unsure_ruling_without_a_number_has_no_limit(case: Whole) -> None:
    unsure = {"passed": False, "unsure": True, "value": None, "limit": None, "reason": "3 rows"}
    case.rulings = [ruling("temp", **unsure)]
    assert deciders(case)[0].endswith("? Cannot tell — temp rmse at most 3.5: 3 rows")


def test_a_run_that_waits_says_how_to_approve_it(case: Whole) -> None:
    case.outcome, case.version = "needs approval", None
    found = words(case.write())
    assert "polycast approve 20260101T000000Z-abc publishes it" in found


@pytest.mark.parametrize(
    ("decision", "version", "says"),
    [
        (
            "approved",
            "8",
            "✔ Approved: small version 8 is champion in place of version 7, approved by Ana",
        ),
        (
            "rejected",
            None,
            "✘ Rejected: nothing was published, because it was rejected by Ana: too warm.",
        ),
    ],
)
def test_a_persons_decision_is_the_headline(
    case: Whole, decision: Any, version: str | None, says: str
) -> None:
    case.outcome, case.version = "needs approval", version
    approval = Approval(decision=decision, by="Ana", when="2026-01-02T08:00:00Z", reason="too warm")
    case.judged["approval"] = approval
    text = case.write()
    assert heading(text).startswith(says)
    assert f"{decision.capitalize()} by Ana, 2026-01-02T08:00:00Z: too warm" in words(text)
    assert "polycast approve" not in text


def test_a_new_start_tells_its_reason(case: Whole) -> None:
    case.judged["rebaseline"] = "a new sensor"
    assert "A new start: on purpose the champion was not compared with" in words(case.write())
    assert "a new sensor" in words(case.write())


def test_a_model_on_fewer_rows_is_never_the_best_and_says_so(case: Whole) -> None:
    case.scored["champion"] = {"rows": 20, "rmse": 1.0, "candidate": {"rmse": 0.9, "mae": 0.7}}
    text = case.write()
    row = re.search(r"RMSE.{0,60}°F.*?</tr>", text, re.S)
    assert row
    assert '<strong class="best">2.00</strong>' in row[0]
    assert "on the 20 rows that it has not seen" in section(text, "errors")
    skill = re.search(r"Skill</th>(.*?)</tr>", text.replace("\n", ""))
    assert skill
    assert re.findall(r"<td class=\"number\">([^<]*)<", skill[1])[1] == "0.100"


def test_further_metrics_stand_below_in_their_unit(case: Whole) -> None:
    case.scored["candidate"] = {
        "rrmse": 0.2, "bias": -0.25, "max_error": 11.0, "correlation": 0.95,
        "distribution": Distribution(crps=0.75, log_likelihood=-1.5),
    }  # fmt: skip
    found = section(case.write(), "errors")
    assert "Bias °F −0.250" in found
    assert "Largest error °F 11.0" in found
    assert "CRPS °F 0.750" in found
    assert "Log likelihood nats a row −1.500" in found


def test_r2_that_is_undefined_gives_the_reason_it_came_with(case: Whole) -> None:
    case.undefined = {(0, "temp")}
    case.scored["candidate"] = {"r2_note": "the truth is constant", "r2": None}
    assert "undefined: the truth is constant" in words(case.write())


def intervals(**changes: Any) -> Distribution:
    content = {
        "crps": 1.0, "levels": (0.5, 0.9), "coverage": (0.52, 0.887), "width": (2.0, 6.5),
        "pit": (0.1,) * 10, "calibration_error": 0.0165,
    } | changes  # fmt: skip
    return Distribution.model_validate(content)


def test_intervals_tell_coverage_and_width_and_are_drawn(case: Whole) -> None:
    case.scored["candidate"] = {"distribution": intervals()}
    text = case.write()
    assert "temp °F 52.0 % 2.00 88.7 % 6.50 0.017 60" in section(text, "intervals")
    images = Page(text).of("img")
    assert [len(i["alt"]) > 40 for i in images] == [True, True]


def test_intervals_without_a_histogram_or_an_end_are_told(case: Whole) -> None:
    case.scored["candidate"] = {"distribution": intervals(pit=(), width=(2.0, float("inf")))}
    text = case.write()
    assert "3 targets have a level with no finite interval" in section(text, "intervals")
    assert len(Page(text).of("img")) == 1


def test_a_point_model_has_no_section_on_intervals(case: Whole) -> None:
    case.scored["candidate"] = {"distribution": Distribution(crps=1.0)}
    assert 'id="intervals"' not in case.write()


def test_joint_scores_stand_model_by_model(case: Whole) -> None:
    own = JointScore(
        fold=0, model="candidate", rows=9, energy=0.61, variogram=1.9, levels=(0.9,),
        coverage=(0.885,),
    )  # fmt: skip
    other = JointScore(fold=0, model="mean", rows=9, energy=1.5)
    case.added["joint"] = (other, own)
    assert "candidate 0.610 1.90 88.5 % mean 1.500 —" in section(case.write(), "together")


def test_groups_of_one_unit_have_an_error_of_their_own(case: Whole) -> None:
    case.targets = {"a[2]": {"unit": "K"}, "b": {"unit": "Pa"}}
    assert "a 2 K 2.00 2.50" in section(case.write(), "errors")


def test_slices_that_are_surely_worse_are_told_with_rows_and_interval(case: Whole) -> None:
    case.added["worst"] = (
        SliceScore(
            slice="season=winter", target="temp", rows=812, mae=2.0, rmse=2.82, ratio=1.41,
            low=1.22, others={"champion": 2.9, "mean": 12.0},
        ),
    )  # fmt: skip
    found = section(case.write(), "slices")
    assert "season=winter temp 812 °F 2.82 2.90 12.00 1.41 1.22" in found


def test_where_no_slice_is_surely_worse_that_is_told(case: Whole, tmp_path: Path) -> None:
    case.files["slices"] = tmp_path / "slices.parquet"
    pq.write_table(pa.table({"slice": ["a=b"] * 412}), case.files["slices"])
    assert "None of 412 slices times targets is surely worse" in section(case.write(), "slices")


def test_importance_shows_the_features_that_matter_most(case: Whole, tmp_path: Path) -> None:
    raised = {f"f{i}": {"temp": i / 100, "humid": -0.001} for i in range(40)}
    case.files["importance"] = tmp_path / "importance.json"
    case.files["importance"].write_text(json.dumps(raised))
    text = case.write()
    found = section(text, "importance")
    assert "Feature temp humid f39 +39 % −0.1 % f38 +38 %" in found
    assert "f25 " in found
    assert "f24 " not in found
    assert "15 of 40 features, the most important ones, for 2 of 3 targets" in found
    assert '--shade: 1.0">+39 %' in text


def test_drift_tells_the_columns_that_moved_most(case: Whole) -> None:
    case.files["drift"] = [
        Drift("x", False, "m", 0.31, 0.01, low=0.0, high=9.5, outside=0.0004),
        Drift("temp", True, "°F", 0.12, 0.01, low=-3.0, high=90.0, outside=0.0),
        Drift("place", False, "", 0.004, 0.01),
    ]
    found = section(case.write(), "drift")
    assert "Of 3 columns, 1 moved by much and 1 moderately" in found
    assert "x 0.310 large 0 to 9.5 m &lt; 0.1 %" in found
    assert "temp target 0.120 moderate −3 to 90 °F none" in found
    assert "place 0.004 within chance —" in found
    assert "New labels" not in found


def test_drift_from_a_champion_tells_distance_missing_values_and_new_labels(case: Whole) -> None:
    case.files["drift_from"] = "the rows that version 3 was trained on"
    case.files["drift"] = [
        Drift("x", False, "m", 0.31, 0.01, 0.0, 9.5, 0.02, distance=0.614, missing=0.3),
        Drift("place", False, "", 0.12, 0.01, missing=0.0, labels=("north", "<b>")),
    ]
    found = section(case.write(), "drift")
    assert "Distance Missing New labels" in found
    assert "x 0.310 large 0 to 9.5 m 2.0 % 0.61 +30.0 %" in found
    assert "place 0.120 moderate — — 0.0 % north, &lt;b&gt;" in found


def test_cost_tells_size_and_times(case: Whole) -> None:
    times = {"p50/1": 3.2, "p99/1": 5.9, "p99/10000": 30.5}
    case.added["cost"] = Cost(megabytes=0.41, milliseconds=times)
    found = section(case.write(), "cost")
    assert "takes 0.410 MB" in found
    assert "1 3.20 5.90 10,000 — 30.50" in found


@pytest.mark.parametrize("place", ["difference", "approval", "rebaseline", "slice", "feature"])
def test_hostile_text_in_the_parts_is_escaped(case: Whole, tmp_path: Path, place: str) -> None:
    hostile = "<script>alert(1)</script>"
    match place:
        case "difference":
            odd = Difference(kind="meaning", name=hostile, words=hostile)
            case.added["opponent_facts"] = OPPONENT.model_copy(update={"differences": (odd,)})
        case "approval":
            approval = Approval(decision="approved", by=hostile, when="now", reason=hostile)
            case.judged["approval"] = approval
        case "rebaseline":
            case.judged["rebaseline"] = hostile
        case "slice":
            worst = SliceScore(
                slice=hostile, target="temp", rows=40, mae=1, rmse=1, ratio=2, low=1.5
            )
            case.added["worst"] = (worst,)
        case _:
            case.files["importance"] = tmp_path / "importance.json"
            case.files["importance"].write_text(json.dumps({hostile: {"temp": 1.0}}))
    text = case.write()
    assert "&lt;script&gt;" in text
    assert "<script" not in text


def predictions(folder: Path, truth: Any, predicted: Any) -> Path:
    """Write predictions of targets a, b, …: arrays (rows, targets), NaN where missing."""
    columns: dict[str, Any] = {"_row": np.arange(len(truth)), "fold": np.zeros(len(truth), int)}
    for i, name in enumerate("abcd"[: truth.shape[1]]):
        columns[f"truth/{name}"] = pa.array(truth[:, i], from_pandas=True)
        columns[f"candidate/{name}"] = pa.array(predicted[:, i], from_pandas=True)
    file = folder / "predictions.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def test_residuals_are_correlated_over_blocks_as_over_the_whole(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shared = draw.normal(size=(BLOCK + 5000, 1))
    residual = (
        1e3
        + np.hstack([shared, -shared, np.zeros_like(shared)])
        + draw.normal(size=(BLOCK + 5000, 3))
    )
    truth = draw.normal(size=residual.shape)
    truth[::7, 1] = np.nan
    found = residual_correlation(predictions(tmp_path, truth, truth + residual), "abc")
    both = np.isfinite(truth).all(axis=1)
    assert found[0, 1] == pytest.approx(np.corrcoef(residual[both].T)[0, 1], abs=1e-9)
    assert found[0, 2] == pytest.approx(np.corrcoef(residual.T)[0, 2], abs=1e-9)
    np.testing.assert_allclose(found, found.T)


def test_residuals_that_do_not_vary_or_never_meet_have_no_correlation(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).normal(size=(40, 4))
    predicted = truth + np.array([0.0, 1.0, 1.0, 1.0]) * np.arange(40)[:, None]
    truth[:20, 2], truth[20:, 3] = np.nan, np.nan
    found = residual_correlation(predictions(tmp_path, truth, predicted), "abcd")
    assert np.isnan(found[0]).all()
    assert np.isnan(found[2, 3])
    assert found[1, 2] == pytest.approx(1)


def test_plots_of_very_many_rows_are_made_of_some(case: Whole, monkeypatch: Any) -> None:
    monkeypatch.setattr(drawing, "MOST_ROWS", ROWS // 3)
    case.drawn = True
    case.targets = {"temp": {"unit": "K"}}
    shown = re.search(r"Prediction against truth, (\d+) test rows", case.write())
    assert shown
    assert 5 < int(shown[1]) < 40


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3.5, "3.5"), (12000, "12,000"), (2.7434, "2.743"), (-0.05, "−0.05"), (2e-9, "2.00 × 10⁻⁹")],
)
def test_a_number_alone_has_at_most_four_digits(value: float, expected: str) -> None:
    assert plain(value) == expected


def test_shares_and_p_values_are_told_as_people_read_them() -> None:
    assert [percent(0.0221), percent(-0.5), percent(0.0), percent(None)] == [
        "+2.2 %", "−50.0 %", "0.0 %", "—",
    ]  # fmt: skip
    assert [probability(0.0004), probability(0.042), probability(0.5)] == [
        "< 0.001", "0.042", "0.50",
    ]  # fmt: skip
