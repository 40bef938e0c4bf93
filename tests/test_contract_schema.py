"""The JSON Schema says of a contract what the models say, and an editor finds it."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from data_contracts.contract import Contract
from data_contracts.loading import contract_files
from data_contracts.schema import json_schema, schema_text

FOLDER = Path(str(files("data_contracts")))
SHIPPED = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


@pytest.fixture
def shipped() -> dict[str, object]:
    return yaml.safe_load((FOLDER / "nyc_weather.yaml").read_text("utf-8"))


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(json_schema())


def test_the_written_schema_is_the_models_schema():
    written = (FOLDER / "contract.schema.json").read_text("utf-8")
    assert written == schema_text(), (
        "run: python -m data_contracts.schema > data_contracts/contract.schema.json"
    )


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_an_editor_finds_the_schema_from_a_shipped_contracts_first_line(file):
    first = file.read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./contract.schema.json"
    assert (file.parent / first.partition("$schema=")[2]).is_file()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_a_shipped_contract_fits_the_schema(validator, file):
    validator.validate(yaml.safe_load(file.read_text("utf-8")))


def test_every_shipped_contract_is_found_by_name():
    assert {f.stem for f in SHIPPED} <= set(contract_files())


@pytest.mark.parametrize(
    "recipe",
    [
        "shared_128_64",
        {"base": "shared_128_64"},
        {"base": "shared_128_64", "hidden": [8, 8], "epochs": 5},
        {"architecture": "shared"},
        {"architecture": "shared", "hidden": [8], "seed": 3},
    ],
)
def test_a_recipe_fits_in_each_of_its_three_forms(validator, shipped, recipe):
    shipped["recipe"] = recipe
    validator.validate(shipped)
    Contract.model_validate(shipped)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("recipe", "foo"),
        ("recipe", {}),
        ("recipe", {"base": "foo"}),
        ("recipe", {"base": "shared_128_64", "epoch": 5}),
        ("recipe", {"architecture": "zz"}),
        ("recipe", {"architecture": "shared", "hidden": [0]}),
        ("recipe", {"epochs": 5}),
        ("split", {"kind": "random", "gap": "5h"}),
        ("split", {"kind": "time", "gap": "5x"}),
        ("gate", {"rules": [{"rule": "x"}]}),
        ("features", {"temp": {"kind": "numeric", "bonds": [0, 1]}}),
        ("features", {"temp": {"bounds": [0]}}),
        ("key", []),
        ("dataset", "Small"),
        ("format", 2),
        ("nope", 1),
    ],
)
def test_what_the_models_refuse_does_not_fit_the_schema(validator, shipped, section, value):
    shipped[section] = value
    assert not validator.is_valid(shipped)
    with pytest.raises(ValueError, match="validation error"):
        Contract.model_validate(shipped)


def test_every_key_of_a_contract_has_a_description_of_its_own_or_its_sections():
    for key, field in json_schema()["properties"].items():
        assert "description" in field or "$ref" in field, key


def test_every_section_has_a_description():
    for name, section in json_schema()["$defs"].items():
        assert section["description"], name
        assert section["additionalProperties"] is False, name


def test_the_schema_is_plain_json():
    assert json.loads(schema_text()) == json_schema()
