"""The JSON Schema of a contract, for editors and for `polycast schema`.

`contract.schema.json` beside this file is this schema, written down. Make it anew with

    python -m data_contracts.schema > data_contracts/contract.schema.json
"""

import json
from typing import Any

from data_contracts.contract import Contract
from data_contracts.recipes import ARCHITECTURES, bases

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a contract's YAML.

    It admits a recipe in each of its three forms. What a schema cannot say, such as that a
    rule's targets exist, `load_contract` alone checks.
    """
    schema = Contract.model_json_schema()
    recipe = schema["properties"]["recipe"]
    description = recipe.pop("description")
    schema["properties"]["recipe"] = {
        "title": "Recipe",
        "description": description,
        "anyOf": [_name(), _changed(schema["$defs"]), recipe],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return the JSON Schema as the text of `contract.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _name() -> Schema:
    return {
        "enum": list(bases()),
        "title": "Name",
        "description": "auto, or a ready-made recipe as it is.",
    }


def _changed(definitions: Schema) -> Schema:
    """Return the schema of `{base: NAME, …}` with any architecture's options as changes."""
    options: dict[str, list[Schema]] = {}
    for recipe in ARCHITECTURES:
        for key, full in definitions[recipe.__name__]["properties"].items():
            option = {k: v for k, v in full.items() if k != "default"}
            if option not in options.setdefault(key, []):
                options[key].append(option)
    changes = {key: o[0] if len(o) == 1 else {"anyOf": o} for key, o in options.items()}
    return {
        "title": "Changes",
        "description": "auto or a ready-made recipe, with changes.",
        "type": "object",
        "properties": {"base": {"enum": list(bases()), "title": "Base"}, **changes},
        "required": ["base"],
        "additionalProperties": False,
    }


if __name__ == "__main__":
    print(schema_text(), end="")
