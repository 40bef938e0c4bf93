"""The report of a run: one file that needs no network, says the verdict first, hides nothing."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.records import (
    Candidate,
    Checked,
    Fold,
    Publication,
    Reason,
    Ruling,
    Score,
    Scores,
    Shards,
    Snapshot,
    Verdict,
)
from tasks.report.drawing import MOST_PLOTS
from tasks.report.errors_table import MOST_TARGETS
from tasks.report.numbers import aligned, duration, fixed, powers
from tasks.report.page import href, write_report
from tasks.report.plots import periods
from tasks.report.sources import ReportSources

WEATHER = {
    "temp": {"unit": "°F", "description": "temperature", "present": "x"},
    "humid": {"unit": "%", "description": "relative humidity"},
    "flux": {"unit": "W m⁻²", "description": "heat flux", "tier": "minor"},
}
ROWS = 60


def contract_of(targets: dict[str, Any], **changes: Any) -> Contract:
    """A small contract with these targets."""
    content = {
        "format": 1,
        "dataset": "small",
        "source": {"kind": "parquet", "path": "rows.parquet"},
        "key": ["id"],
        "features": {"x": {}},
        "targets": targets,
        "split": {"kind": "random"},
        "recipe": "shared_128_64",
    }
    return Contract.model_validate(content | changes)


def score(fold: int, model: str, target: str, rmse: float, r2: float | None) -> Score:
    skill = {"mean": 1 - rmse / 10, "persistence": 1 - rmse / 4}
    return Score(
        fold=fold, model=model, target=target, rows=ROWS, mae=rmse * 0.8, rmse=rmse, r2=r2,
        skill=skill,
    )  # fmt: skip


def ruling(target: str, passed: bool = True, **changes: Any) -> Ruling:
    content = {
        "rule": "rmse at most 3.5",
        "target": target,
        "passed": passed,
        "blocks": True,
        "value": 2.0 if passed else 3.71,
        "limit": 3.5,
        "reason": f"rmse {2.0 if passed else 3.71} K, limit 3.5 K",
    }
    return Ruling.model_validate(content | changes)


class Case:
    """A run's records and files, to be changed before the page is written."""

    def __init__(self, folder: Path, targets: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.targets = targets or WEATHER
        self.models = {"candidate": 2.0, "champion": 2.5, "persistence": 4.0, "mean": 10.0}
        self.drawn = False
        self.folds = 1
        self.members = 1
        self.time: Any = np.datetime64("2026-01-01", "us") + 3_600_000_000 * np.arange(ROWS)
        self.champion: str | None = "7"
        self.champion_note = ""
        self.rulings: list[Ruling] | None = None
        self.outcome = "pass"
        self.undefined: set[tuple[int, str]] = set()
        self.contract: dict[str, Any] = {}
        self.links: dict[str, str] = {}
        self.reasons: tuple[Reason, ...] = ()

    def write(self) -> str:
        """Write the page and return its text."""
        contract = contract_of(self.targets, **self.contract)
        file = self.folder / "report.html"
        write_report(contract, self.publication(contract), self.sources(contract), file)
        return file.read_text("utf-8")

    def publication(self, contract: Contract) -> Publication:
        names = tuple(contract.target_columns)
        rulings = self.rulings if self.rulings is not None else [ruling(t) for t in names]
        verdict = Verdict(scores=self.scores(names), outcome=self.outcome, rulings=tuple(rulings))
        version = "8" if self.outcome == "pass" else None
        return Publication(verdict=verdict, model="small", version=version, tracking_run="a1b2c3")

    def scores(self, names: tuple[str, ...]) -> Scores:
        snapshot = Snapshot(hash="c0ffee" * 10, rows=1234, columns={"x": "double"}, source="beef")
        checked = Checked(
            snapshot=snapshot, rows=1200, quarantined=34, reasons=self.reasons, expectations=9
        )
        rows = {"train": 900, "validation": 120, "calibration": 120, "test": ROWS, "gap": 0}
        folds = tuple(Fold(index=i, rows=rows, inputs=5) for i in range(self.folds))
        candidate = Candidate(
            shards=Shards(checked=checked, folds=folds, targets=names), members=self.members,
            parameters=15_430, epochs=4, best_epoch=3, validation_loss=0.5, train_seconds=61.0,
            device="cpu",
        )  # fmt: skip
        scores = [
            score(fold, model, name, rmse + fold, None if (fold, name) in self.undefined else 0.9)
            for fold in range(self.folds)
            for name in names
            for model, rmse in self.models.items()
            if model != "persistence" or contract_of(self.targets).present_columns.get(name)
        ]
        return Scores(
            candidate=candidate, scores=tuple(scores), champion=self.champion,
            champion_note=self.champion_note,
        )  # fmt: skip

    def sources(self, contract: Contract) -> ReportSources:
        rng = np.random.default_rng(0)
        columns: dict[str, Any] = {"_row": np.arange(ROWS), "fold": np.zeros(ROWS, int)}
        if self.time is not None:
            columns["time"] = self.time
        for name in contract.target_columns:
            truth = rng.normal(size=ROWS)
            truth[: 5 if self.drawn else ROWS] = np.nan
            columns[f"truth/{name}"] = pa.array(truth, from_pandas=True)
            columns[f"candidate/{name}"] = rng.normal(size=ROWS)
        pq.write_table(pa.table(columns), self.folder / "predictions.parquet")
        curve = {"loss": [3.0, 2.0, 1.0, 0.9], "val_loss": [3.0, 2.0, 1.5, 1.6]}
        (self.folder / "curves.json").write_text(json.dumps([curve] * self.members * self.drawn))
        return ReportSources(
            predictions=self.folder / "predictions.parquet",
            curves=self.folder / "curves.json",
            versions={"keras": "3.15.1", "attrs": "1"},
            run_id="20260101T000000Z-abc",
            ended=datetime(2026, 1, 1, tzinfo=UTC),
            seconds={"train": 61.0},
            links=self.links,
            reproduce="polycast retrain small",
        )


@pytest.fixture
def case(tmp_path) -> Case:
    """A run of three targets that passed."""
    return Case(tmp_path)


class Page(HTMLParser):
    """A page's addresses, alt texts and words; fails where tags do not close in order."""

    EMPTY = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(text: str) -> str:
    return " ".join(Page(text).words.split())


def heading(text: str) -> str:
    found = re.search(r"<h1.*?</h1>", text, re.DOTALL)
    assert found
    return words(found[0])


def test_no_address_is_fetched(case):
    case.drawn = True
    case.links = {"MLflow": "http://localhost:5000/#/experiments/1"}
    text = case.write()
    page = Page(text)
    fetched = [a["href"] for a in page.of("link")] + [a["src"] for a in page.of("img")]
    assert fetched
    assert all(address.startswith("data:") for address in fetched)
    assert not page.of("script")
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import", style)
    assert "default-src 'none'" in text


def test_every_image_says_in_words_what_it_shows(case):
    case.drawn = True
    images = Page(case.write()).of("img")
    assert len(images) == 2 + 2 * len(WEATHER)
    assert all(len(i["alt"]) > 40 for i in images)


def test_plots_are_svg_that_names_no_address_outside(case):
    case.drawn = True
    for image in Page(case.write()).of("img"):
        svg = unquote(image["src"].split(",", 1)[1])
        ElementTree.fromstring(svg)
        assert not re.search(r'href="(?!#|data:)', svg)
        assert not re.search(r"url\((?!#)|@import", svg)


def test_every_target_stands_with_its_unit_and_description(case):
    found = words(case.write())
    for name, target in WEATHER.items():
        assert f"{name}{target['description']}, {target['unit']}" in found


def test_a_passed_verdict_names_the_version_and_the_one_before(case):
    assert heading(case.write()) == "✔ Passed: small version 8 is champion in place of version 7."


def test_a_first_version_is_called_the_first_champion(case):
    case.champion = None
    assert heading(case.write()) == "✔ Passed: small version 8 is champion, its first champion."


def test_a_failed_verdict_says_why_first(case):
    case.outcome = "fail"
    case.rulings = [ruling("humid"), ruling("temp", passed=False)]
    text = case.write()
    assert heading(text) == (
        "✘ Failed: nothing was published, because 1 of 2 rulings does not hold (temp)."
    )
    found = words(text)
    assert "Version 7 stays champion" in found
    assert found.index("rmse 3.71 K, limit 3.5 K") < found.index("Errors on the test rows")


def test_failed_rulings_come_before_those_that_hold_and_are_marked_in_words(case):
    case.outcome = "fail"
    quiet = {"blocks": False, "value": None, "limit": None, "reason": "no champion yet"}
    case.rulings = [
        ruling("temp", rule="first", reason="holds indeed"),
        ruling("all", rule="second", **quiet),
        ruling("humid", rule="third", reason="holds as well"),
        ruling("flux", passed=False, blocks=False, rule="third", reason="only warns"),
        ruling("temp", passed=False, rule="third", reason="blocks"),
    ]
    found = words(case.write())
    table = found[found.index("In numbers") :]
    order = ["✘ Failedtempblocks", "! Warningfluxonly warns", "✔ Holdshumidholds as well",
             "✔ Holdstempholds indeed", "– Not judgedall targetsno champion yet"]  # fmt: skip
    assert [table.index(entry) for entry in order] == sorted(table.index(e) for e in order)


def test_a_pass_shows_each_rules_closest_call(case):
    case.rulings = [ruling("temp", value=1.0), ruling("humid", value=3.4, reason="close indeed")]
    found = words(case.write())
    assert "close indeed" in found[: found.index("Errors on the test rows")]


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("insufficient evidence", "because the evidence does not suffice"),
        ("needs approval", "because it waits for approval"),
    ],
)
def test_an_undecided_verdict_says_what_it_lacks(case, outcome, why):
    case.outcome = outcome
    assert why in heading(case.write())


def test_an_undefined_r2_is_a_dash_with_its_reason(case):
    case.undefined = {(0, "temp")}
    text = case.write()
    reason = "undefined: the truth does not vary in the test rows"
    assert f'<abbr title="{reason}">—</abbr>' in text
    assert words(text).count(reason) == 1


def test_r2_that_is_undefined_in_one_fold_says_in_which(case):
    case.folds, case.undefined = 2, {(1, "temp")}
    assert "undefined in fold 1" in words(case.write())


def test_a_baseline_that_does_not_cover_a_target_says_so(case):
    assert "persistence does not cover this target" in words(case.write())


def test_the_best_of_each_row_is_marked(case):
    assert re.search(r"RMSE.{0,80}°F.*?<strong class=\"best\">2\.00</strong>", case.write(), re.S)


def test_none_is_best_where_all_are_alike(case):
    case.models = {"candidate": 2.0, "champion": 2.0}
    assert '<strong class="best">' not in case.write()


def test_skill_against_the_champion_is_the_share_of_its_error_that_is_gone(case):
    row = re.search(r"Skill</th>(.*?)</tr>", case.write().replace("\n", ""))
    assert row
    assert re.findall(r"<td class=\"number\">([^<]*)<", row[1]) == ["", "0.200", "0.500", "0.800"]


@pytest.mark.parametrize("place", ["description", "unit", "contract", "reason", "link"])
def test_hostile_text_is_escaped(case, place):
    case.drawn = place == "unit"
    hostile = "<script>alert(1)</script> $x_{$"
    match place:
        case "description" | "unit":
            case.targets = {"temp": {"unit": "K"} | {place: hostile}}
        case "contract":
            case.contract = {"description": hostile}
        case "reason":
            case.reasons = (Reason(expectation=hostile, rows=1, examples=(hostile,)),)
        case _:
            case.links = {hostile: "javascript:alert(1)"}
    text = case.write()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert 'href="javascript' not in text


def no_champion(case: Case) -> None:
    case.champion = None
    del case.models["champion"]


def no_time(case: Case) -> None:
    case.time = None


def number_time(case: Case) -> None:
    case.time = np.arange(ROWS)


def zoned_time(case: Case) -> None:
    case.time = pa.array(case.time).cast(pa.timestamp("us", "UTC"))


def text_time(case: Case) -> None:
    case.time = [f"hour {i}" for i in range(ROWS)]


def one_moment(case: Case) -> None:
    case.time = np.full(ROWS, np.datetime64("2026-01-01", "us"))


def several_folds_and_members(case: Case) -> None:
    case.folds = case.members = 3


def nothing_but_the_candidate(case: Case) -> None:
    case.models, case.rulings = {"candidate": 1e-9}, []


@pytest.mark.parametrize(
    ("change", "images"),
    [
        (no_champion, 8),
        (no_time, 5),
        (number_time, 8),
        (zoned_time, 8),
        (text_time, 5),
        (one_moment, 5),
        (several_folds_and_members, 8),
        (nothing_but_the_candidate, 8),
    ],
)
def test_it_is_written_with(case, change: Callable[[Case], None], images):
    case.drawn = True
    change(case)
    assert len(Page(case.write()).of("img")) == images


def test_without_a_row_to_plot_it_says_so(case):
    text = case.write()
    assert not Page(text).of("img")
    assert "No test row has both a truth and a prediction" in words(text)


def test_a_champion_that_could_not_be_compared_is_explained(case):
    no_champion(case)
    case.champion, case.champion_note = "7", "version 7 cannot answer these rows"
    assert "version 7 cannot answer these rows" in words(case.write())


def test_several_folds_are_shown_one_by_one_as_well(case):
    case.folds = 3
    assert "temp°F2.003.004.00" in words(case.write())


def test_quarantine_is_shown_with_reasons_and_examples(case):
    case.reasons = (Reason(expectation="wind between 0 and 200", rows=34, examples=("1048 EWR",)),)
    assert "wind between 0 and 200341048 EWR" in words(case.write())


def test_many_targets_stay_usable(case):
    case.targets = {"state[60]": {"unit": "K"}, "late": {"unit": "m/s"}}
    case.drawn = True
    names = [f"state_{i}" for i in range(60)]
    case.outcome = "fail"
    case.rulings = [*(ruling(n) for n in names), ruling("late", passed=False)]
    text = case.write()
    found = words(text)
    assert len(text) < 2_000_000
    assert len(Page(text).of("img")) == 2 + 2 * MOST_PLOTS
    assert f"Plotted are {MOST_PLOTS} of 61 targets" in found
    assert 'late <span class="soft">' in text.replace("<code>", "").replace("</code>", "")
    assert all(f"<code>{n}</code>" in text for n in names)


def test_a_table_of_very_many_targets_is_cut_and_says_so(case):
    case.targets, case.time = {"state[400]": {"unit": "K"}}, None
    text = case.write()
    assert f"{MOST_TARGETS} of 400 targets" in words(text)
    assert len(text) < 2_000_000


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/store/validations/docs/index.html", "../validations/docs/index.html"),
        ("../docs/a b.html", "../docs/a%20b.html"),
        ("https://mlflow.example/#/runs/1", "https://mlflow.example/#/runs/1"),
        ("a1b2c3", None),
        ("s3://bucket/docs/index.html", None),
        ("javascript:alert(1)//", None),
    ],
)
def test_a_link_is_one_that_a_browser_can_open_and_a_local_one_is_relative(address, expected):
    assert href(address, Path("/store/runs")) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.4142, 11.3, None], ["2.41", "11.30", "—"]),
        ([0.8325, 1018.2], ["0.833", "1,018.200"]),
        ([123.4, 4567.8], ["123", "4,568"]),
        ([2.41e-7, 3e-7], ["2.41 × 10⁻⁷", "3.00 × 10⁻⁷"]),
        ([0.0, None], ["0", "—"]),
    ],
)
def test_numbers_of_a_row_share_their_decimals(values, expected):
    assert aligned(values) == expected


def test_a_negative_number_has_a_minus_sign_and_a_negative_zero_has_none():
    assert [fixed(-1.5, 1), fixed(-0.0001), powers(-2e-9)] == ["−1.5", "0.000", "−2.00 × 10⁻⁹"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.44, "0.4 s"), (38, "38 s"), (125, "2 min 5 s"), (3840, "1 h 4 min"), (59.7, "1 min 0 s")],
)
def test_a_duration_is_said_as_people_say_it(seconds, expected):
    assert duration(seconds) == expected


def test_a_period_without_rows_leaves_a_gap():
    when = np.concatenate([np.linspace(0, 1, 60), np.linspace(9, 10, 60)])
    centers, spread = periods(when, np.ones(120))
    assert centers.shape == (4,)
    assert np.isnan(spread[1:3]).all()
    assert (spread[[0, 3]] == 1).all()
