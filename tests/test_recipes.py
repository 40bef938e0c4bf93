"""`polycast recipes`, the ready-made recipes, and an example contract per architecture."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import contract_files, example_files, find_contract, load_contract
from data_contracts.recipes import (
    ARCHITECTURES,
    architecture_names,
    ready_made,
    recipe_model,
)
from data_contracts.recipes.brought import RecipeFault, name_of
from data_contracts.recipes.options import REQUIRED, groups, one_line
from data_contracts.schema import json_schema
from tests.builders import small_contract
from tests.walk import polycast, surroundings

NAMES = [name_of(model) for model in ARCHITECTURES]
EXAMPLES = {name.removeprefix("example_"): file for name, file in example_files().items()}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def test_every_architecture_has_an_example() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_loads_by_name_and_by_path_and_is_of_its_architecture(name: str) -> None:
    contract = load_contract(f"example_{name}")
    assert contract == load_contract(str(EXAMPLES[name]))
    assert contract.dataset == f"example_{name}"
    assert contract.recipe.architecture == name


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_the_schema_that_its_first_line_names(
    name: str, validator: Draft202012Validator
) -> None:
    text = EXAMPLES[name].read_text("utf-8")
    validator.validate(yaml.safe_load(text))
    schema = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (EXAMPLES[name].parent / schema).resolve().name == "contract.schema.json"
    assert (EXAMPLES[name].parent / schema).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_an_examples_header_names_its_command_and_what_it_is(name: str) -> None:
    header = EXAMPLES[name].read_text("utf-8").split("\nformat:")[0]
    assert f"#   polycast retrain example_{name}\n" in header
    assert f"#   polycast recipes {name}" in header
    assert f"# {name}: " in header


@pytest.mark.parametrize("name", NAMES)
def test_an_example_shows_its_architectures_own_options(name: str) -> None:
    shown = set(yaml.safe_load(EXAMPLES[name].read_text("utf-8"))["recipe"])
    (first, *_) = groups(recipe_model(name))
    assert shown & {o.name for o in first.options}


def test_examples_are_no_contracts_of_the_list_but_stand_below_it(tmp_path: Path) -> None:
    assert not set(example_files()) & set(contract_files())
    listed = " ".join(polycast(tmp_path, "contracts").stdout.split())
    assert all(f"example_{name}" in listed for name in NAMES)


def test_a_users_own_contract_comes_before_an_example_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data_contracts"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES["shared"], folder / "example_shared.yaml")
    own = find_contract("example_shared")
    assert own.resolve() == folder / "example_shared.yaml"
    assert load_contract("example_shared").dataset == "example_shared"


def test_an_example_that_is_copied_elsewhere_is_named_for_its_file(tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    shutil.copy(EXAMPLES["shared"], file)
    with pytest.raises(ContractError, match="shared, as the file is named"):
        load_contract(str(file))


def test_a_misspelled_example_is_told_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'example_quantile'"):
        load_contract("example_quantiles")


READY_MADE = {
    "shared_128_64": {"architecture": "shared", "hidden": [128, 64], "l1": 0.0},
    "heads_64": {"architecture": "multi_head", "hidden": [64], "head_hidden": []},
    "shared_l1": {"architecture": "shared", "hidden": [128, 64], "l1": 0.01},
}
ALIKE = {"activation": "relu", "optimizer": "adam", "loss": "mse", "epochs": 100, "batch_size": 32}


def test_the_ready_made_recipes_are_what_their_names_say() -> None:
    assert set(ready_made()) == set(READY_MADE)
    for name, expected in READY_MADE.items():
        recipe = small_contract(recipe=name).recipe.model_dump(mode="json")
        assert {key: recipe[key] for key in expected | ALIKE} == expected | ALIKE


def test_recipes_lists_every_ready_made_recipe_and_architecture_with_what_it_is(
    tmp_path: Path,
) -> None:
    shown = " ".join(polycast(tmp_path, "recipes").stdout.split())
    for name in (*ready_made(), *NAMES):
        assert f" {name} " in shown
    for model in ARCHITECTURES:
        assert one_line(model.__doc__) in shown
    assert "Two ReLU layers of 128 and 64 that all targets share" in shown


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_described_with_its_type_and_default(name: str) -> None:
    model = recipe_model(name)
    options = {o.name: o for g in groups(model) if g.of is None for o in g.options}
    assert set(options) == set(model.model_fields) - {"architecture"}
    assert all(o.takes and o.meaning and o.default is not REQUIRED for o in options.values())
    recipe = small_contract(recipe={"architecture": name}).recipe.model_dump(mode="json")
    for option in options.values():
        assert recipe[option.name] == option.default or not recipe[option.name]


def test_options_come_in_groups_the_architectures_own_first_and_training_last() -> None:
    found = groups(recipe_model("multi_head"))
    assert found[0].title == "Its own options"
    assert [o.name for o in found[0].options] == ["head_per", "head_hidden", "heads"]
    assert (found[1].title, found[1].of) == ("Each of heads", "heads")
    assert "epochs" in [o.name for o in found[-1].options]


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("name", ["multi_head", "heads_64"])
def test_recipes_shows_all_options_of_one_within_the_terminals_width(
    tmp_path: Path, name: str, columns: str
) -> None:
    done = polycast(tmp_path, "recipes", name, COLUMNS=columns)
    assert done.returncode == 0
    assert "head_hidden" in done.stdout
    assert "mse | mae | huber" in done.stdout
    assert "weight_decay" in done.stdout
    assert "polycast retrain example_multi_head" in done.stdout
    paths = [str(EXAMPLES["multi_head"])]
    lines = [line for line in done.stdout.splitlines() if line.strip() not in paths]
    assert max(map(len, lines)) <= int(columns)


def test_a_ready_made_recipe_is_shown_with_its_own_values(tmp_path: Path) -> None:
    shown = polycast(tmp_path, "recipes", "heads_64").stdout
    rows = [line.split()[:2] for line in shown.splitlines()]
    # The trunk's width is the recipe's; a single head has none unless the contract says so.
    assert [value for name, value in filter(lambda r: len(r) == 2, rows) if name == "hidden"] == [
        "–",
        "[64]",
    ]
    assert ["batch_size", "32"] in rows


@pytest.mark.parametrize("name", [*NAMES, "heads_64"])
def test_the_three_lines_that_recipes_shows_are_a_recipe(tmp_path: Path, name: str) -> None:
    shown = polycast(tmp_path, "recipes", name).stdout.splitlines()
    start = shown.index("  recipe:")
    recipe = yaml.safe_load("\n".join(shown[start : start + 3]))["recipe"]
    assert Contract.model_validate(small_contract().model_dump() | {"recipe": recipe})


def test_an_unknown_recipe_is_wrong_usage_and_names_the_nearest(tmp_path: Path) -> None:
    done = polycast(tmp_path, "recipes", "quantil")
    assert done.returncode == 2
    assert "did you mean 'quantile'?" in done.stderr
    with pytest.raises(RecipeFault, match="no recipe is named 'quantil'"):
        recipe_model("quantil")


def test_recipes_imports_neither_keras_nor_orchestrator(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['polycast', 'recipes', 'quantile']\n"
        "from flows.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "dear = {'prefect', 'tensorflow', 'keras', 'mlflow', 'pandas', 'pyarrow', 'duckdb'}\n"
        "assert not dear & set(sys.modules), dear & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], env=surroundings({}), check=True, stdout=-3)


def test_the_names_of_architectures_are_those_of_the_network_registry() -> None:
    from tasks.learning.networks import BUILT_IN

    assert list(architecture_names())[: len(NAMES)] == NAMES
    assert set(NAMES) == set(BUILT_IN)
