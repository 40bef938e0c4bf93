"""An exported model answers raw rows as the bundle does, with none of our packages about."""

import ast
import json
import math
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from keras import ops
from pydantic import ValidationError

from data_contracts.contract import Contract
from data_contracts.format_agreement import SPREADS
from data_contracts.settings import FORMATS
from tasks.formats import export, installed
from tasks.formats.arithmetic import expm1, log1p
from tasks.formats.carried import not_carried
from tasks.formats.inputs import interface
from tasks.learning.bundle import Bundle, save_bundle
from tasks.learning.errors import MissingPart
from tasks.learning.losses import SPREAD_LOSSES
from tests.builders import replaced, small_contract, small_rows
from tests.untrained import untrained_bundle
from tests.walk import readme, surroundings

RUNNERS = Path(__file__).parents[1] / "tasks" / "formats" / "runners"
ROWS = 1_000
OURS = ("data_contracts", "tasks", "flows", "deployments", "tests")

BARE = f"""
import importlib.util, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OURS}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path += {[sysconfig.get_paths()[n] for n in ("purelib", "platlib")]}
"""
"""How a process starts that has the installed packages but none of ours, nor any .pth file."""
PROGRAM = (
    BARE
    + """
import numpy as np, pyarrow.parquet as pq
spec = importlib.util.spec_from_file_location("runner", sys.argv[1])
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
for folder in sys.argv[2:]:
    rows = pq.read_table(folder + "/../rows.parquet")
    np.save(folder + "/answers.npy", runner.predict(runner.load(folder), rows))
"""
)


def recipe(architecture: str, **options: Any) -> dict[str, Any]:
    return {"recipe": {"architecture": architecture, "hidden": [16, 16]} | options}


def targets(a: dict[str, Any], b: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"targets": {"a": {"unit": "K"} | a, "b": {"unit": "Pa"} | (b or {})}}


SHARES = targets({"output": "softmax", "group": "g"}, {"output": "softmax", "group": "g"})
SHARES |= {"target_groups": {"g": {"whole": 100.0}}}
BENT = targets({"transform": "yeo_johnson"}, {"transform": "log1p"})
CARRIED: dict[str, dict[str, Any]] = {
    "change": recipe("shared", block="gated", normalization="layer", label_embedding=2),
    "bent": BENT
    | recipe("shared", normalization="batch", block="residual", numeric_embedding="periodic"),
    "shares": SHARES | recipe("multi_head", head_hidden=[4]),
    "independent": recipe("independent", loss="crps"),
    "scaled": recipe("shared", label_embedding=2)
    | {
        "features": {
            "x": {"scaling": "quantile"},
            "z": {"scaling": "smooth_clip", "impute": "mean"},
            "angle": {"scaling": "minmax", "impute": "constant", "fill": 90.0},
            "place": {"kind": "categorical", "rare": 10},
        }
    },
    "ensemble": recipe("ensemble", members=3, numeric_embedding="piecewise_linear")
    | targets({"output": "sigmoid", "bounds": [-50, 60]}, {"transform": "quantile"}),
    "joint_gaussian": recipe("joint_gaussian") | targets({"transform": "none"}),
    "deep_gp": recipe("deep_gp", features=32),
    "mixture": recipe("mixture", components=3),
    "quantile": recipe("quantile") | targets({"transform": "quantile"}, {"output": "relu"}),
}
"""By name: changes of the small contract that every format carries."""
SPREAD = {"loss": "gaussian_nll"}
HELD = {"constraints": [{"holds": "a <= b", "enforce": True}]}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "cvae": (recipe("cvae"), "cvae"),
    "constraint": (HELD, "constraint"),
    "samples of points": (recipe("shared", **SPREAD) | BENT, "mean of samples"),
    "samples": (recipe("deep_gp") | targets({"output": "softplus"}), "mean of samples"),
    "shares of medians": (recipe("quantile") | SHARES, "shares of one whole"),
}
"""By name: changes that no format carries, and the part that is named."""


def shaken(bundle: Bundle, seed: int = 0) -> Bundle:
    """Return the bundle with every trained weight changed, biases too."""
    draw = np.random.default_rng(seed)
    for member in bundle.members:
        for weight in member.network.trainable_weights:
            weight.assign(np.asarray(weight) + 0.1 * draw.normal(size=weight.shape))
    return bundle


def train_rows(name: str, seed: int = 0) -> pa.Table:
    rows = small_rows(300, seed)
    if name in ("shares", "shares of medians"):
        share = np.random.default_rng(seed).uniform(1, 99, len(rows))
        return replaced(replaced(rows, "a", share), "b", 100 - share)
    if name == "scaled":
        places = rows["place"].to_pylist()
        places[:3] = ["elsewhere", "nowhere", "nowhere"]
        return replaced(rows, "place", places)
    if name in ("bent", "samples", "samples of points", "quantile"):
        values = np.random.default_rng(seed).lognormal(size=(2, len(rows)))
        return replaced(replaced(rows, "a", values[0]), "b", 1e-6 * values[1])
    return rows


def asked_rows() -> pa.Table:
    """Return rows with missing values everywhere, labels that no train row had, and far values."""
    rows = small_rows(ROWS, seed=9)
    places = rows["place"].to_pylist()
    places[:4] = ["elsewhere", "", "here ", "Here"]
    x = rows["x"].to_pylist()
    x[4:10] = [1e6, -1e6, 0.0, 1e-300, math.inf, -math.inf]
    times = rows["time"].to_pylist()
    times[5] = None
    return replaced(replaced(replaced(rows, "place", places), "x", x), "time", times)


def members() -> tuple[Bundle, pa.Table, pa.Table]:
    """Return a bundle of two members with vocabularies of their own, its rows, others to ask."""
    contract = small_contract(
        features={
            "stack": {},
            "α β": {"kind": "categorical"},
            "Stack": {"kind": "cyclic", "period": 7},
        },
        targets={
            "1a": {"unit": "K", "present": "stack"},
            "b": {"unit": "%", "present": "now", "transform": "change"},
        },
        **recipe("shared"),
    )

    def rows(count: int, labels: list[int | None], seed: int) -> pa.Table:
        draw = np.random.default_rng(seed)
        table = small_rows(count, seed).rename_columns({"x": "stack", "z": "now", "angle": "Stack"})
        chosen = [labels[i] for i in draw.integers(0, len(labels), count)]
        return replaced(table.rename_columns({"a": "1a"}), "α β", chosen)

    train = [rows(200, [1, 2, None], 1), rows(200, [3, 2], 2)]
    found = [untrained_bundle(contract, own).members[0] for own in train]
    asked = rows(ROWS, [1, 2, 3, 4, None], 3)
    return Bundle(found), train[0], asked


@pytest.fixture(scope="module")
def bundles() -> dict[str, tuple[Bundle, pa.Table, pa.Table]]:
    """Each bundle by name, with rows that it was fitted on and rows to ask."""
    found = {}
    for name, changes in CARRIED.items():
        rows = train_rows(name)
        found[name] = untrained_bundle(small_contract(**changes), rows), rows, asked_rows()
    found["members"] = members()
    for bundle, _, _ in found.values():
        shaken(bundle)
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_answers_as_the_bundle_does_where_polycast_is_not(
    format: str, bundles: dict[str, tuple[Bundle, pa.Table, pa.Table]], tmp_path: Path
) -> None:
    for name, (bundle, _, asked) in bundles.items():
        export(format, bundle, tmp_path / name / format)
        pq.write_table(asked, tmp_path / name / "rows.parquet")
    folders = [str(tmp_path / name / format) for name in bundles]
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(RUNNERS / f"{format}.py"), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    apart = {}
    for name, (bundle, rows, asked) in bundles.items():
        answers = np.load(tmp_path / name / format / "answers.npy")
        wanted = bundle.predict(asked).mean
        assert answers.shape == wanted.shape == (ROWS, len(bundle.targets))
        assert np.isfinite(wanted).all()
        assert (wanted.std(axis=0) > 0).all()
        deviation = [np.nanstd(np.array(rows[t].to_pylist(), float)) for t in bundle.targets]
        slack = 1e-5 * np.abs(wanted) + 1e-5 * np.array(deviation)
        apart[name] = float((np.abs(answers - wanted) / slack).max())
    assert {name: far for name, far in apart.items() if not far <= 1} == {}


def test_the_process_that_answers_could_not_import_ours() -> None:
    command = [sys.executable, "-I", "-S", "-c", BARE + "import numpy\nimport tasks.formats"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ImportError: tasks" in done.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_a_runner_needs_the_formats_library_alone(format: str) -> None:
    tree = ast.parse((RUNNERS / f"{format}.py").read_text("utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    library = {"keras": "keras", "saved_model": "tensorflow", "onnx": "onnxruntime"}[format]
    common = {"json", "numpy", "pathlib", "pyarrow", "pyarrow.compute", "typing"}
    assert names == common | {library}


def test_runners_read_raw_rows_alike() -> None:
    texts = [(RUNNERS / f"{format}.py").read_text("utf-8") for format in FORMATS]
    shared = {text.partition("# What follows is the same")[2] for text in texts}
    assert len(shared) == 1
    assert "def labels" in shared.pop()


def refusals(changes: dict[str, Any], *formats: str) -> list[tuple[str, str]]:
    """Return the key and the words of each refusal of a contract."""
    with pytest.raises(ValidationError) as caught:
        small_contract(publishing={"formats": formats}, **changes)
    return [(".".join(map(str, e["loc"])), e["msg"]) for e in caught.value.errors()]


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_format_carries_is_refused_at_its_key_and_by_the_export(
    name: str, tmp_path: Path
) -> None:
    changes, words = REFUSED[name]
    found = refusals(changes, "keras", "onnx")
    assert [key for key, _ in found] == ["publishing.formats.0", "publishing.formats.1"]
    assert all(words in said for _, said in found)
    assert found[1][1].startswith("no format, since onnx cannot carry ")
    bundle = untrained_bundle(small_contract(**changes), train_rows(name))
    with pytest.raises(ValueError, match=f"onnx cannot carry .*{words}"):
        export("onnx", bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_every_format_carries_is_not_refused(
    bundles: dict[str, tuple[Bundle, pa.Table, pa.Table]],
) -> None:
    for name, changes in CARRIED.items():
        contract = small_contract(publishing={"formats": list(FORMATS)}, **changes)
        assert contract.publishing.formats == FORMATS
        assert not_carried(bundles[name][0]) == ""
    assert set(SPREAD_LOSSES) == SPREADS


def test_an_architecture_that_a_package_brings_is_not_carried() -> None:
    member = replace(untrained_bundle(small_contract()).members[0], architecture="wide")
    assert "wide, which a package brings" in not_carried(Bundle([member]))


def test_a_format_is_named_once_and_is_one_that_there_is() -> None:
    assert refusals({}, "onnx", "onnx") == [("publishing.formats.1", "each format once")]
    with pytest.raises(ValidationError, match=r"publishing\.formats\.0"):
        small_contract(publishing={"formats": ["pickle"]})
    assert Contract.model_fields["publishing"].get_default().formats == ()


def test_the_blocks_of_the_readme_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = replaced(small_rows().rename_columns({"x": "load"}), "unit", ["a", "b"] * 100)
    rows = replaced(replaced(rows, "nox", rows["a"]), "yield", rows["b"])
    contract = small_contract(
        features={"load": {}, "unit": {"kind": "categorical"}},
        targets={"nox": {"unit": "mg/m³"}, "yield": {"unit": "%"}},
    )
    bundle = untrained_bundle(contract, rows)
    monkeypatch.chdir(tmp_path)
    wanted = bundle.predict(pa.table({"load": [410.0, None, 95.5], "unit": ["a", None, ""]})).mean
    for format, asked in (("keras", [0, 1]), ("saved_model", [0, 2]), ("onnx", [0])):
        export(format, bundle, tmp_path / format)
        found: dict[str, Any] = {}
        exec(readme(format), found)
        np.testing.assert_allclose(np.asarray(found["nox"]), wanted[asked, 0], rtol=1e-4)


def test_a_saved_model_takes_raw_values_by_column_and_names_its_targets(tmp_path: Path) -> None:
    import tensorflow as tf

    export("saved_model", untrained_bundle(small_contract()), tmp_path)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    taken = {n: s.dtype.name for n, s in signature.structured_input_signature[1].items()}
    numbers = dict.fromkeys(("x", "z", "angle", "time"), "float64")
    assert taken == numbers | {"place": "string"}
    assert {s.shape.rank for s in signature.structured_input_signature[1].values()} == {1}
    assert set(signature.structured_outputs) == {"a", "b"}


def test_what_goes_in_is_written_beside_the_model(tmp_path: Path) -> None:
    bundle, _, _ = members()
    export("onnx", bundle, tmp_path)
    content = json.loads((tmp_path / "inputs.json").read_text("utf-8"))
    inputs = {e["name"]: e for e in content["inputs"]}
    assert list(inputs) == ["stack", "c___", "Stack_2", "now"]
    assert inputs["c___"]["column"] == "α β"
    assert inputs["c___"]["labels"] == ["1", "2", "3"]
    assert inputs["c___"]["dtype"] == "int32"
    outputs = [(o["name"], o["target"], o["unit"]) for o in content["outputs"]]
    assert outputs == [("c1a", "1a", "K"), ("b", "b", "%")]


def test_the_text_for_a_missing_label_is_no_label() -> None:
    rows = replaced(small_rows(), "place", ["", "?", "here", None] * 50)
    inputs = {e.column: e for e in interface(untrained_bundle(small_contract(), rows)).inputs}
    assert inputs["place"].missing == "??"


def test_a_format_whose_packages_are_absent_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(installed.NEEDED, "onnx", ("onnx", "not_installed_here"))
    with pytest.raises(MissingPart, match=r"needs not_installed_here: pip install 'polycast\[onnx"):
        export("onnx", untrained_bundle(small_contract()), tmp_path)
    installed.check_installed(["keras", "saved_model"])


def test_a_bundle_is_exported_from_jax_too(tmp_path: Path) -> None:
    bundle = untrained_bundle(small_contract())
    save_bundle(bundle, tmp_path / "bundle")
    command = [sys.executable, "-m", "tasks.formats", "keras", "bundle", "out"]
    environment = surroundings({"KERAS_BACKEND": "jax"})
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["inputs.json", "model.keras"]


def test_functions_that_formats_lack_are_as_exact_as_numpys() -> None:
    sizes = np.concatenate([[0.0], np.logspace(-300, 2.4, 4_001)])
    values = np.concatenate([sizes, -sizes])
    np.testing.assert_allclose(np.asarray(expm1(values)), np.expm1(values), rtol=1e-14)
    above = np.concatenate([sizes, -np.logspace(-300, -1e-12, 4_001)])
    np.testing.assert_allclose(np.asarray(log1p(above)), np.log1p(above), rtol=1e-14)
    assert ops.shape(expm1(values)) == values.shape
