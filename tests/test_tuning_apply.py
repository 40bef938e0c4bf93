"""The best recipe written into a contract: what changes, and all that does not."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.loading import load_contract
from data_contracts.recipes.changing import changed
from tasks.errors import WrongRequest
from tasks.storage import root_storage
from tasks.tuning.applying import apply_recipe
from tasks.tuning.result import Tuned
from tasks.tuning.trial import Trial

HEAD = """\
# What the plant does.
format: 1
dataset: plant   # the name
source: {kind: parquet, path: rows.parquet}
key: [hour]
features:
  load: {unit: MW}  # measured

targets: {nox: {unit: g}}
split: {kind: random}
"""
TAIL = """
# Who may publish.
gate:
  rules:   # two
    - {rule: champion}
"""


def found(changes: dict[str, Any]) -> Tuned:
    best = Trial(
        number=7, origin="bayesian", changes=changes, recipe={}, state="complete",
        values={"error": 0.25},
    )  # fmt: skip
    return Tuned(
        dataset="plant", study="tuning/plant/a", trials=20, pruned=0, failed=0, taken_over=0,
        own_error=0.5, best=best,
    )  # fmt: skip


def applied(folder: Path, recipe: str, changes: dict[str, Any]) -> tuple[str, str]:
    """Return the text of the recipe after a change, and the diff; all else must be as it was."""
    file = folder / "plant.yaml"
    file.write_bytes((HEAD + recipe + TAIL).encode())
    wanted = changed(load_contract(str(file)).recipe, changes)
    diff = apply_recipe(file, wanted, found(changes))
    text = file.read_bytes().decode()
    assert load_contract(str(file)).recipe == wanted
    assert text.startswith(HEAD)
    assert text.endswith(TAIL)
    return text.removeprefix(HEAD).removesuffix(TAIL), diff


def test_a_name_becomes_a_base_with_changes(tmp_path: Path) -> None:
    text, diff = applied(
        tmp_path, "recipe: shared_128_64  # plain\n", {"hidden": [256, 128], "dropout": 0.1}
    )
    comment, recipe = text.splitlines()
    assert comment.startswith("# Tuned 20")
    assert comment.endswith(": trial 7 of 20, validation error 0.2500, 0.5000 before.")
    assert recipe == "recipe: {base: shared_128_64, dropout: 0.1, hidden: [256, 128]}  # plain"
    assert "-recipe: shared_128_64  # plain" in diff


@pytest.mark.parametrize(
    ("recipe", "after"),
    [
        (
            "recipe: {base: shared_128_64, dropout: 0.2}   # so far\n",
            "recipe: {base: shared_128_64, dropout: 0.1, hidden: [256]}   # so far\n",
        ),
        (
            "recipe:\n  architecture: shared   # one network\n  hidden:\n    - 64  # wide\n"
            "    - 32\n  # few\n  epochs: 5  # at most\n",
            "recipe:\n  architecture: shared   # one network\n  hidden: [256]\n"
            "  # few\n  epochs: 5  # at most\n  dropout: 0.1\n",
        ),
        (
            "recipe: {\n    architecture: shared,  # one\n    dropout: 0.3,\n  }\n",
            None,
        ),
    ],
)  # fmt: skip
def test_fields_are_changed_in_their_places(tmp_path: Path, recipe: str, after: str | None) -> None:
    text, _ = applied(tmp_path, recipe, {"hidden": [256], "dropout": 0.1})
    assert after is None or text.split("\n", 1)[1] == after


def test_another_architecture_is_written_out(tmp_path: Path) -> None:
    text, _ = applied(
        tmp_path, "recipe: {base: shared_128_64, epochs: 5}\n", {"architecture": "ensemble"}
    )
    written = yaml.safe_load(text)["recipe"]
    assert written["architecture"] == "ensemble"
    assert written["epochs"] == 5


def test_the_comment_of_an_earlier_tuning_is_replaced(tmp_path: Path) -> None:
    text, _ = applied(
        tmp_path, "# Why this one.\n# Tuned 2020-01-01: old.\nrecipe: shared_128_64\n", {"l2": 0.1}
    )
    assert text.startswith("# Why this one.\n# Tuned 20")
    assert text.count("# Tuned") == 1


def test_windows_line_ends_and_rights_stay_and_the_version_before_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    before = (HEAD + "recipe:\n  architecture: shared\n" + TAIL).replace("\n", "\r\n").encode()
    file.write_bytes(before)
    file.chmod(0o640)
    recipe = changed(load_contract(str(file)).recipe, {"l2": 0.1})
    apply_recipe(file, recipe, found({}))
    assert b"\n" not in file.read_bytes().replace(b"\r\n", b"")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    (kept,) = root_storage().places("tuning/plant/a/before")
    assert root_storage().read(kept) == before
    assert [f.name for f in tmp_path.iterdir() if f.suffix == ".yaml"] == ["plant.yaml"]


def test_a_recipe_that_is_an_alias_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    text = HEAD + "recipe: {architecture: shared, l2: &x 0.5, l1: *x}\n"
    file.write_text(text, "utf-8")
    recipe = changed(load_contract(str(file)).recipe, {"l2": 0.1})
    with pytest.raises(WrongRequest, match="Write this in its place:\nrecipe:\n  architecture"):
        apply_recipe(file, recipe, found({}))
    assert file.read_text("utf-8") == text


def test_a_recipe_that_is_there_already_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(HEAD + "recipe: shared_128_64\n", "utf-8")
    assert apply_recipe(file, load_contract(str(file)).recipe, found({})) == ""
    assert file.read_text("utf-8") == HEAD + "recipe: shared_128_64\n"
