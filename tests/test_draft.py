"""A draft looks at data, says what it found, leaves out what gives targets away, and runs."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import yaml

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from flows.drafting import dataset_of, split
from tasks.draft import Draft, Wish, draft, save
from tasks.draft.dividing import duration
from tasks.draft.facts import Fact
from tasks.draft.meanings import bounds, cycle
from tasks.draft.text import flow, name
from tasks.errors import DataError, WrongRequest
from tests.test_bad_input import HOSTILE
from tests.walk import polycast

ROWS = 600


def plant(**more: Any) -> dict[str, Any]:
    """Two sites' hours, whose targets follow from the load."""
    draw = np.random.default_rng(0)
    hours = np.datetime64("2024-01-01T00", "us") + np.arange(ROWS // 2).repeat(2) * np.timedelta64(
        1, "h"
    )
    load = draw.uniform(100, 700, ROWS)
    nox = 2 * load + draw.normal(size=ROWS) * 20
    own: dict[str, Any] = {
        "site": ["a", "b"] * (ROWS // 2),
        "at": hours,
        "load": load,
        "wind_dir": draw.uniform(0, 360, ROWS),
        "hour": [int(h) % 24 for h in range(ROWS)],
        "mode": [["run", "idle", None][i % 3] for i in range(ROWS)],
        "nox": [v if i % 10 else None for i, v in enumerate(nox)],
        "gain": 50 + load / 20 + draw.normal(size=ROWS),
    }
    return own | more


def drafted(tmp_path: Path, content: Any, targets: str = "nox,gain", **wish: Any) -> Draft:
    file = tmp_path / "plant.parquet"
    pq.write_table(pa.table(content), file)
    out = tmp_path / "data_contracts" / "plant.yaml"
    return draft(Wish(str(file), "plant", out, tuple(targets.split(",")), **wish))


def contract_of(made: Draft) -> Contract:
    return Contract.model_validate(yaml.safe_load(made.text))


def test_a_draft_says_what_each_column_may_mean(tmp_path: Path) -> None:
    made = drafted(tmp_path, plant(still=[1.0] * ROWS, note=[f"text {i}" for i in range(ROWS)]))
    contract = contract_of(made)
    kinds = {c: f.kind for c, f in contract.features.items()}
    assert kinds == {
        "site": "categorical", "at": "timestamp", "load": "numeric", "wind_dir": "cyclic",
        "hour": "cyclic", "mode": "categorical",
    }  # fmt: skip
    assert contract.features["hour"].period == 24  # type: ignore[union-attr]
    assert contract.features["load"].bounds == (0.0, 1000.0)  # type: ignore[union-attr]
    assert contract.targets["nox"].unit == "?"
    assert (contract.time, contract.key) == ("at", ("site", "at"))
    assert contract.split.kind == "time"
    assert "# left out: is the same in every row" in made.text
    assert "# left out: names each row" in made.text
    assert "33% missing" in made.text
    assert "# 10% missing: masked" in made.text
    assert {"check": "one_of", "column": "mode", "values": ["idle", "run"]} in yaml.safe_load(
        made.text
    )["expectations"]["rows"]
    assert (made.features, made.left, made.warnings) == (6, 2, ())


def test_features_that_give_a_target_away_are_left_out_and_told(tmp_path: Path) -> None:
    own = plant()
    gain = own["gain"]
    later = np.append(gain[6:], [np.nan] * 6)  # of two sites, three hours
    copies = {"same": gain, "scaled": 3 - 0.1 * gain, "bent": np.exp(gain / 9), "next": later}
    made = drafted(tmp_path, own | copies)
    assert not set(copies) & set(contract_of(made).features)
    told = "\n".join(made.warnings)
    assert "same equals the target gain: left out" in told
    assert "scaled follows the target gain along a straight line (correlation -1)" in told
    assert "bent follows the target gain in order (correlation 1)" in told
    assert "next holds the target gain of 3 rows later: left out" in told
    assert all(f"# WARNING: {w}" in made.text for w in made.warnings)


def test_a_lag_of_a_target_is_no_leak(tmp_path: Path) -> None:
    own = plant()
    before = np.append([np.nan] * 6, own["gain"][:-6])
    made = drafted(tmp_path, own | {"before": before})
    assert made.warnings == ()
    assert "before" in contract_of(made).features


def test_a_target_that_is_a_feature_of_later_rows_has_it_as_present(tmp_path: Path) -> None:
    own = plant()
    ahead = np.append(own["load"][12:], [np.nan] * 12)
    contract = contract_of(
        drafted(tmp_path, own | {"ahead": ahead}, "ahead", group="site", time="at")
    )
    assert contract.targets["ahead"].present == "load"
    assert contract.evaluation.lead == "6h"
    assert contract.split.kind == "time"
    assert contract.split.gap == "7h"


def test_rows_without_time_are_split_by_group_or_at_random(tmp_path: Path) -> None:
    own = plant(person=[f"p{i % 50}" for i in range(ROWS)])
    del own["at"]
    contract = contract_of(drafted(tmp_path, own))
    assert (contract.split.kind, contract.key) == ("random", ("row_number",))
    grouped = drafted(tmp_path, own, group="person")
    assert contract_of(grouped).split.kind == "group"
    assert "person" not in contract_of(grouped).features
    few = drafted(tmp_path, own, group="site")
    assert "site has 2 groups alone: the splits may miss their shares" in few.warnings


def test_a_given_key_that_rows_share_is_told_and_completed(tmp_path: Path) -> None:
    own = plant(thing=[i // 2 for i in range(ROWS)])
    del own["at"]
    made = drafted(tmp_path, own, key=("thing",))
    contract = contract_of(made)
    assert contract.key == ("thing", "copy")
    assert contract.split.kind == "group"
    assert made.warnings[0].startswith("600 rows share a key (thing): copies of a row on both")


def test_a_copy_of_a_row_does_not_hide_the_key_and_is_warned_of(tmp_path: Path) -> None:
    copied = {name: [*values, values[7]] for name, values in plant().items()}
    made = drafted(tmp_path, copied)
    assert contract_of(made).key == ("site", "at", "copy")
    assert made.warnings[0].startswith("2 rows share a key (site, at): copies of a row on both")


def test_a_ragged_csv_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "plant.csv").write_text("id,nox\n1,2\n3\n4,5\n")
    wish = Wish(str(tmp_path / "plant.csv"), "plant", tmp_path / "plant.yaml", ("nox",))
    with pytest.raises(DataError, match="line 3: expected 2 cells as in the header, came 1"):
        draft(wish)


def test_time_as_text_is_read_and_rows_without_it_are_left_out(tmp_path: Path) -> None:
    own = plant()
    own["at"] = [None if i == 7 else str(t) for i, t in enumerate(own["at"])]
    contract = contract_of(drafted(tmp_path, own, time="at", key=("site", "at")))
    assert contract.source.query is not None
    assert 'TRY_CAST("at" AS TIMESTAMP)' in contract.source.query
    assert 'WHERE "at" IS NOT NULL' in contract.source.query.replace('"site" IS NOT NULL AND ', "")


BAD: tuple[tuple[dict[str, Any], dict[str, Any], type[Exception], str], ...] = (
    ({}, {"targets": "nix"}, WrongRequest, "--targets nix: no such column; did you mean 'nox'"),
    ({}, {"time": "load"}, WrongRequest, "--time load: expected points in time, came DOUBLE"),
    ({}, {"key": ("nox",)}, WrongRequest, "a target is no key"),
    ({}, {"targets": "mode"}, DataError, "mode: expected a number as target, came VARCHAR"),
    ({"gain": [1.0] * ROWS}, {}, DataError, "gain: expected a target that varies"),
    ({"gain": pa.nulls(ROWS)}, {}, DataError, "gain: expected a target with values, came none"),
)


@pytest.mark.parametrize(("changes", "wish", "error", "words"), BAD)
def test_a_wish_that_does_not_fit_is_told(
    tmp_path: Path, changes: Any, wish: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        drafted(tmp_path, plant(**changes), **wish)


def test_odd_columns_are_left_out_and_odd_names_are_only_names(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    odd = {"list": [[1]] * ROWS, "struct": [{"a": 1}] * ROWS, "bytes": [b"x"] * ROWS}
    odd |= {"__index_level_0__": [i // 2 for i in range(ROWS)]}
    odd |= {"x[3]": draw.normal(size=ROWS), "_row": [1] * ROWS, "": [1.0] * ROWS}
    fine = {n: draw.normal(size=ROWS) for n in (*HOSTILE, "yes", "null", "1", "- a", "a: b", "# c")}
    fine |= {"decimal": [Decimal(i) / 7 for i in range(ROWS)]}
    fine |= {"far": pa.array([10**11 - i for i in range(ROWS)], pa.timestamp("s"))}
    fine |= {"zone": pa.array(range(ROWS), pa.timestamp("ns", "Europe/Berlin"))}
    infinite = {"infinite": [np.inf if i % 5 == 0 else float(i * i % 7) for i in range(ROWS)]}
    contract = contract_of(drafted(tmp_path, plant() | odd | fine | infinite))
    vectors = {n for n in fine if n.endswith("[0]")}
    assert set(fine) - vectors <= set(contract.features)
    assert not (set(odd) | vectors) & set(contract.features)
    assert contract.expectations.tolerance == 0.4


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_rows_are_drafted_or_told(tmp_path: Path, count: int) -> None:
    content = {c: v[:count] for c, v in plant().items()}
    if count == 2:
        assert contract_of(drafted(tmp_path, content, "gain")).dataset == "plant"
        return
    with pytest.raises(DataError, match=r"no rows|varies"):
        drafted(tmp_path, content, "gain")


def test_files_of_every_kind_make_the_same_features(tmp_path: Path) -> None:
    table = pa.table(plant())
    pq.write_table(table, tmp_path / "a.parquet")
    table.to_pandas().to_csv(tmp_path / "b.csv", index=False)
    pyarrow.feather.write_feather(table, str(tmp_path / "c.feather"))
    made = [
        contract_of(draft(Wish(str(f), "x", tmp_path / "x.yaml", ("nox", "gain"))))
        for f in sorted(tmp_path.iterdir())
    ]
    assert [c.source.kind for c in made] == ["parquet", "csv", "feather"]
    assert made[0].features == made[1].features == made[2].features
    (tmp_path / "d.xlsx").write_bytes(b"x")
    with pytest.raises(WrongRequest, match="expected a file, a folder or a pattern of"):
        draft(Wish(str(tmp_path / "d.xlsx"), "x", tmp_path / "x.yaml", ("nox",)))
    (tmp_path / "e.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read"):
        draft(Wish(str(tmp_path / "e.parquet"), "x", tmp_path / "x.yaml", ("nox",)))


def test_a_contract_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    made = drafted(tmp_path, plant())
    save(made, force=False)
    assert [f.name for f in made.file.parent.iterdir()] == ["plant.yaml"]
    made.file.write_text("mine", "utf-8")
    for again in (lambda: drafted(tmp_path, plant()), lambda: save(made, force=False)):
        with pytest.raises(WrongRequest, match=r"is there already.*--force"):
            again()
    assert made.file.read_text("utf-8") == "mine"
    save(drafted(tmp_path, plant(), force=True), force=True)
    assert load_contract(str(made.file)).dataset == "plant"


def test_bounds_lie_beyond_what_was_seen_and_keep_its_sign() -> None:
    def limits(least: float, most: float) -> list[float] | None:
        return bounds(Fact("x", "DOUBLE", "number", least=least, most=most))

    assert limits(3, 98) == [0, 150]
    assert limits(-2, 2) == [-4, 4]
    assert limits(950, 1050) == [900, 1100]
    assert limits(-9, -1) == [-13, 0]
    assert limits(5, 5) == [2, 8]
    assert limits(-1e308, 1e308) is None
    assert limits(0.0, 1e-310) is None


@pytest.mark.parametrize(
    ("column", "least", "most", "period"),
    [
        ("hour", 0, 23, 24), ("month", 1, 12, 12), ("dayOfWeek", 0, 6, 7),
        ("wind_dir", 1, 359, 360), ("doy", 1, 366, 365.25), ("hour", 0, 400, None),
        ("hours_run", -3, 9, None),
        ("wind_dir", 10, 20, None), ("load", 0, 23, None),
    ],
)  # fmt: skip
def test_cycles_are_told_by_name_and_range(
    column: str, least: float, most: float, period: float | None
) -> None:
    assert cycle(Fact(column, "BIGINT", "number", least=least, most=most)) == period


@pytest.mark.parametrize("text", [*HOSTILE, "yes", "1e3", "a b", " a", "", "~", "\x85", "﻿x", "a:"])
def test_any_text_reads_back_from_yaml(text: str) -> None:
    assert yaml.safe_load(f"{name(text)}: 1") == {text: 1}
    plain = {text: [text, 1, 1e-7, 1e20, -0.5]}
    assert yaml.safe_load(flow(plain)) == plain


def test_names_and_durations_as_a_user_writes_them() -> None:
    assert dataset_of("/data/Trial Data.csv") == "trial_data"
    assert dataset_of("s3://bucket/2024 rows/") == "data_2024_rows"
    for out, named in (("data_contracts/x.yaml", "x"), ("other/x.yaml", "other/x.yaml")):
        assert Wish("x.csv", "x", Path(out), ("a",)).named == named
    assert list(split(["a, b", "b,c"])) == ["a", "b", "c"]
    assert list(split(['"a, b", c', '5" pipe', '"say ""x"", please"'])) == [
        "a, b", "c", '5" pipe', 'say "x", please',
    ]  # fmt: skip
    with pytest.raises(WrongRequest, match="not so quoted"):
        split(['"a,b'])
    assert [duration(s) for s in (0, 61, 7200, 90_000, 200_000)] == [
        "0s", "61s", "2h", "25h", "3d",
    ]  # fmt: skip


def test_a_target_whose_name_holds_a_comma_is_drafted(tmp_path: Path) -> None:
    rows = pa.table(plant())
    pq.write_table(
        rows.rename_columns([{"nox": "NOx, dry"}.get(c, c) for c in rows.column_names]),
        tmp_path / "plant.parquet",
    )
    made = polycast(
        tmp_path, "init", "plant.parquet", "--targets", '"NOx, dry",gain', "--time", "at"
    )
    assert made.returncode == 0, made.stderr
    assert list(load_contract(str(tmp_path / "data_contracts" / "plant.yaml")).targets) == [
        "NOx, dry", "gain",
    ]  # fmt: skip


# A gate that nothing passes: what was learned is judged, and not packed and proved besides.
SHORT = (
    "recipe.epochs=2",
    "recipe.hidden=[8]",
    "evaluation.baselines=[mean]",
    "gate.rules=[{rule: baseline, baseline: mean, by: 0.9999}]",
)


def trained(folder: Path, dataset: str, api: str) -> None:
    sets = [word for change in SHORT for word in ("--set", change)]
    made = polycast(folder, "retrain", dataset, *sets, PREFECT_API_URL=api)
    assert made.returncode == 3, made.stderr
    assert "Blocked" in made.stdout


def write_other(folder: Path) -> None:
    """Write rows of persons without a time as CSV, and their draft."""
    own = pa.table(plant(person=[f"p{i % 60}" for i in range(ROWS)])).drop_columns(["at", "site"])
    own.to_pandas().to_csv(folder / "Other Rows.csv", index=False)
    made = polycast(folder, "init", "Other Rows.csv", "--targets", "gain", "--group", "person")
    assert (made.returncode, made.stderr) == (0, "")


def test_a_draft_in_time_is_trained_as_it_is(tmp_path: Path, api: str) -> None:
    pq.write_table(pa.table(plant(list=[[1]] * ROWS)), tmp_path / "plant.parquet")
    made = polycast(tmp_path, "init", "plant.parquet", "--targets", "nox,gain", "--time", "at")
    assert (made.returncode, made.stderr) == (0, "")
    assert "data_contracts/plant.yaml" in made.stdout
    assert "polycast check plant" in made.stdout
    again = polycast(tmp_path, "init", "plant.parquet", "--targets", "nox")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    trained(tmp_path, "plant", api)


def test_a_draft_of_groups_keeps_its_contract(tmp_path: Path, api: str) -> None:
    write_other(tmp_path)
    checked = polycast(tmp_path, "check", "other_rows", PREFECT_API_URL=api)
    assert "other_rows keeps its contract" in checked.stdout, checked.stderr


@pytest.mark.slow
def test_a_draft_of_groups_is_trained_as_it_is(tmp_path: Path, api: str) -> None:
    write_other(tmp_path)
    trained(tmp_path, "other_rows", api)
