"""A contract is found by name or path, and its YAML is read safely."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract
from data_contracts.errors import ContractError, Problem, UnknownDataset
from data_contracts.loading import contract_files, find_contract, load_contract

SHIPPED = Path(str(files("data_contracts"))) / "nyc_weather.yaml"
TEXT = """\
format: 1
dataset: small
source: {kind: parquet, path: rows.parquet}
key: [id]
features: {temp: {}}
targets: {ahead: {unit: K}}
split: {kind: random}
recipe: shared_128_64
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A user's own folder of contracts, with one contract in it, below the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_contracts").mkdir()
    (tmp_path / "data_contracts" / "small.yaml").write_text(TEXT)
    return tmp_path / "data_contracts"


def only_problem(file: Path) -> Problem:
    with pytest.raises(ContractError) as caught:
        load_contract(str(file))
    (problem,) = caught.value.problems
    return problem


def test_every_shipped_contract_loads():
    for dataset in contract_files():
        assert load_contract(dataset).dataset == dataset


def test_a_users_own_contract_is_found_by_its_name(folder):
    assert load_contract("small").dataset == "small"


def test_a_shipped_contract_is_found_from_any_folder(folder):
    assert find_contract("nyc_weather") == SHIPPED


def test_a_users_own_contract_comes_before_a_shipped_one_of_the_same_name(folder):
    (folder / "nyc_weather.yaml").write_text(TEXT.replace("small", "nyc_weather"))
    assert load_contract("nyc_weather").features.keys() == {"temp"}


def test_a_contract_is_found_by_its_path(folder):
    assert load_contract(str(folder / "small.yaml")).dataset == "small"


def test_the_contract_that_a_run_left_behind_is_loaded_as_it_was(folder):
    asked = [
        "recipe.learning_rate=1e-5",
        "time=id",
        "source.as_of=2013-06-01",
        'gate.rebaseline=a "new" start',
    ]
    contract = load_contract("small", asked)
    left = folder / "contract.json"
    left.write_text(contract.model_dump_json(indent=1), "utf-8")
    assert load_contract(str(left)) == contract
    assert load_contract(str(left)).recipe.learning_rate == 1e-5


def test_what_is_wrong_in_a_contract_that_a_run_left_behind_is_told_with_its_line(folder):
    left = folder / "contract.json"
    text = load_contract("small").model_dump_json(indent=1)
    left.write_text(text.replace('"kind": "random"', '"kind": "rndom"'), "utf-8")
    problem = only_problem(left)
    assert problem.key == "split.kind"
    assert problem.where.startswith(f"{left}:")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1.e-3", "0.001"])
def test_a_power_of_ten_is_a_number_with_or_without_a_point(folder, text):
    assert load_contract("small", [f"recipe.learning_rate={text}"]).recipe.learning_rate == 1e-3


def test_a_relative_source_path_starts_at_the_contracts_folder(folder):
    assert load_contract("small").source.path == str(folder / "rows.parquet")


def test_a_name_that_no_contract_has_is_refused_with_the_nearest_names(folder):
    with pytest.raises(UnknownDataset, match="did you mean 'nyc_weather'"):
        load_contract("nyc_wether")


@pytest.mark.parametrize(
    "name",
    ["../small", "/etc/passwd", "a/b", "..", ".", "", "small\0", "Small", "small\n", "~", "a" * 64],
)
def test_a_name_that_could_leave_the_folder_is_no_dataset_name(folder, name):
    with pytest.raises(UnknownDataset, match="is no dataset name"):
        load_contract(name)


@pytest.mark.parametrize(
    "path", ["missing.yaml", "a\0.yaml", "data_contracts.yaml", "x" * 5000 + ".yml"]
)
def test_a_path_without_a_file_is_refused(folder, path):
    Path("data_contracts.yaml").mkdir()
    with pytest.raises(UnknownDataset, match="no contract file at"):
        load_contract(path)


def test_a_name_whose_file_is_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "outside.yaml").write_text(TEXT)
    (folder / "linked.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(UnknownDataset, match="a link out of its folder"):
        load_contract("linked")


def test_a_name_whose_file_is_a_link_inside_the_folder_is_fine(folder):
    (folder / "..data").mkdir()
    (folder / "small.yaml").rename(folder / "..data" / "small.yaml")
    (folder / "small.yaml").symlink_to("..data/small.yaml")
    assert load_contract("small").dataset == "small"


def test_a_link_to_itself_is_no_contract(folder):
    (folder / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(UnknownDataset, match="no contract is named 'loop'"):
        load_contract("loop")


# What is no contract at all: the text, the place, what was expected and what came.
UNREADABLE = [
    ("", "1:1", "a mapping of keys", "an empty file"),
    ("# only a comment\n", "1:1", "a mapping of keys", "an empty file"),
    ("- 1\n", "1:1", "a mapping of keys", "a list"),
    ("words", "1:1", "a mapping of keys", "a str"),
    ("a: [1\nb: 2", "2:2", "valid YAML", "expected ',' or ']'"),
    ("a: 1\n---\nb: 2", "2:1", "valid YAML", "but found another document"),
    ("\ta: 1", "1:1", "valid YAML", "found character '\\t'"),
    ("a: *b", "1:4", "valid YAML", "found undefined alias"),
    ("a: !!python/object:os.system {}", "1:4", "valid YAML", "could not determine a constructor"),
    ("a: !!int ''", "1:4", "valid YAML", "'', which is no int"),
    ("a: !!timestamp x", "1:4", "valid YAML", "'x', which is no timestamp"),
    ("a: 2024-99-99", "1:4", "valid YAML", "'2024-99-99', which is no timestamp"),
    ("a: " + "9" * 5000, "1:4", "valid YAML", "'9999"),
    ("a: 1\na: 2", "2:1", "each key once", "the key again (first on line 1)"),
    ("a:\n  b: 1\n  b: 2", "3:3", "each key once", "the key again (first on line 2)"),
    ("on: 1", "1:1", "keys that are text", "'on', which YAML reads as bool"),
    ("a: {5: 1}", "1:5", "keys that are text", "'5', which YAML reads as int"),
    ("? [a]\n: 1", "1:3", "keys that are text", "a list or a mapping"),
    ("? !!str [a]\n: 1", "1:3", "keys that are text", "a list or a mapping"),
    ('a: "\\0"', "1:4", "text of characters that can be printed", "'\\x00'"),
    ('a: "\\ud800"', "1:4", "text of characters that can be printed", "'\\ud800'"),
    ("a: " + "[" * 40 + "]" * 40, "1:36", "at most 32 levels", "more"),
    ("a: " + "[" * 5000 + "]" * 5000, "1:1", "at most 32 levels", "more"),
    ("a: &a [*a]", "1:4", "at most 32 levels", "more"),
]


@pytest.mark.parametrize(("text", "at", "expected", "got"), UNREADABLE)
def test_a_file_that_is_no_contract_says_where_and_why(folder, text, at, expected, got):
    (folder / "small.yaml").write_text(text)
    problem = only_problem(folder / "small.yaml")
    assert problem.where == f"{folder / 'small.yaml'}:{at}"
    assert problem.expected.startswith(expected)
    assert got in problem.got


def test_a_file_that_is_not_utf_8_says_so(folder):
    (folder / "small.yaml").write_bytes(b"a: \xff\xfe")
    assert only_problem(folder / "small.yaml").expected == "YAML text in UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_first_key(folder):
    (folder / "small.yaml").write_text(TEXT, encoding="utf-8-sig")
    assert load_contract("small").format == 1


def test_several_keys_at_fault_are_told_at_once(folder):
    (folder / "small.yaml").write_text("a: 1\na: 2\non: 3\n")
    with pytest.raises(ContractError) as caught:
        load_contract("small")
    assert len(caught.value.problems) == 2


def test_anchors_aliases_and_merge_keys_are_read(folder):
    features = "{temp: &kelvin {unit: K}, dew: *kelvin, wet: {<<: *kelvin, bounds: [0, 400]}}"
    (folder / "small.yaml").write_text(TEXT.replace("{temp: {}}", features))
    assert {f.unit for f in load_contract("small").features.values()} == {"K"}


def test_an_override_of_an_alias_leaves_what_it_stood_for(folder):
    features = "{temp: &kelvin {unit: K}, dew: *kelvin}"
    (folder / "small.yaml").write_text(TEXT.replace("{temp: {}}", features))
    contract = load_contract("small", ["features.dew.unit=C"])
    assert [f.unit for f in contract.features.values()] == ["K", "C"]


@pytest.mark.parametrize("item", ["*a{}", "{{b: *a{}}}"])
def test_aliases_that_multiply_are_refused_before_they_are_spelled_out(folder, item):
    lines = ["a0: &a0 {x: 1}"]
    for i in range(12):
        lines.append(f"a{i + 1}: &a{i + 1} [{', '.join([item.format(i)] * 9)}]")
    (folder / "small.yaml").write_text("\n".join(lines))
    assert only_problem(folder / "small.yaml").expected.startswith("at most 200,000 keys")


def test_merges_that_multiply_are_refused_before_they_are_spelled_out(folder):
    lines = ["a0: &a0 {x: 1}"]
    for i in range(12):
        lines.append(f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 9)}]}}")
    (folder / "small.yaml").write_text("\n".join(lines))
    assert only_problem(folder / "small.yaml").expected.startswith("at most 200,000 keys")


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("recipe.epochs=5", lambda c: c.recipe.epochs == 5),
        ("recipe={base: shared_128_64, hidden: [8]}", lambda c: c.recipe.hidden == (8,)),
        ("recipe={base: auto, epochs: 5}", lambda c: c.recipe.architecture == "auto"),
        ("recipe={base: auto, epochs: 5}", lambda c: c.recipe.epochs == 5),
        ("recipe={architecture: shared, seed: 7}", lambda c: c.recipe.seed == 7),
        ("publishing.model=m", lambda c: c.registered_model == "m"),
        ("gate.rules[0].by=0.5", lambda c: c.gate.rules[0].by == 0.5),
        (" training.device = cpu", lambda c: c.training.device == "cpu"),
        ("description=a=b", lambda c: c.description == "a=b"),
        ("schedule=", lambda c: c.schedule is None),
        ("features.temp.unit=K", lambda c: c.features["temp"].unit == "K"),
        ("features.new={unit: K}", lambda c: c.features["new"].unit == "K"),
    ],
)
def test_an_override_sets_the_field_that_it_names(override, read):
    assert read(load_contract("nyc_weather", [override]))


def test_an_override_reaches_a_column_whose_name_has_dots_or_brackets(folder):
    (folder / "small.yaml").write_text(TEXT.replace("{temp: {}}", '{"a.b": {}, "c[2]": {}}'))
    contract = load_contract("small", ["features.a.b.unit=K", "features.c[2].unit=m"])
    assert [f.unit for f in contract.features.values()] == ["K", "m"]


@pytest.mark.parametrize("recipe", ["recipe: auto", ""])
def test_an_override_changes_the_default_recipe(folder, recipe):
    lines = [line for line in TEXT.splitlines() if not line.startswith("recipe:")]
    (folder / "small.yaml").write_text("\n".join([*lines, recipe, ""]))
    changed = load_contract("small", ["recipe.epochs=5"]).recipe
    assert (changed.architecture, changed.epochs) == ("auto", 5)


def test_the_last_of_two_overrides_of_one_field_counts():
    overrides = ["recipe.epochs=5", "recipe.epochs=6"]
    assert load_contract("nyc_weather", overrides).recipe.epochs == 6


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mangled") / "nyc_weather.yaml"


def outcome(dataset: str, *overrides: str) -> Contract | list[str]:
    """Return the contract, or its problems as text; any other error is a failed test."""
    try:
        return load_contract(dataset, overrides)
    except ContractError as error:
        return [str(problem) for problem in error.problems]


PIECES = ["", " ", "\n", "  ", ":", "-", "{", "}", "[", "]", "&a", "*a", "<<: ", "!!int ", "'", "#",
          "null", "1e999", "2024-01-32", "\0", "\t", "é", "\ud800", "kind", "rule: x"]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 30),
            st.one_of(st.sampled_from(PIECES), st.text(max_size=5)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_mangled_contract_is_either_a_contract_or_a_contract_error(scratch, cuts):
    text = SHIPPED.read_text("utf-8")
    for share, length, piece in cuts:
        at = round(share * len(text))
        text = text[:at] + piece + text[at + length :]
    scratch.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert outcome(str(scratch))


@settings(max_examples=100, deadline=None)
@given(
    key=st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["recipe", "features.temp", "gate.rules[0]", "split.kind", "key", "source"]
        ),
    ),
    value=st.text(max_size=20),
)
def test_any_override_gives_either_a_contract_or_a_contract_error(key, value):
    assert outcome("nyc_weather", f"{key}={value}")


def test_loading_a_contract_imports_nothing_heavy():
    code = (
        "import sys; from data_contracts.loading import load_contract;"
        "load_contract('nyc_weather');"
        "heavy = {'keras', 'tensorflow', 'jax', 'numpy', 'pandas', 'pyarrow', 'duckdb', 'prefect',"
        " 'mlflow', 'great_expectations'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
