"""An architecture that a package of a user's own brings by entry points.

Each package here is a folder on the path with the metadata that pip would have written.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.walk import DATASET, polycast, readme, surroundings, write_contract

ROOT = Path(__file__).parents[1]

RECIPE, NETWORK = readme("brought recipe"), readme("brought network")
GROUPS = tomllib.loads(readme("brought points"))["project"]["entry-points"]
POINTS = {g: f"{name} = {value}" for g, own in GROUPS.items() for name, value in own.items()}
TRAIN = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import pyarrow.parquet as pq
from data_contracts.contract import Contract
from tasks.learning.bundle import save_bundle
from tasks.learning.fitting import fit
from tests.builders import small_contract, small_rows

recipe = {"architecture": "wide", "factor": 3, "epochs": 3, "batch_size": 100}
contract = small_contract(recipe=recipe)
assert Contract.model_validate(json.loads(contract.model_dump_json())) == contract
bundle, curve = fit(contract, small_rows(300), small_rows(100, seed=1))
rows = small_rows(50, seed=2)
member = bundle.members[0]
assert member.network.layers[1].units == 3 * member.network.layers[0].output.shape[1]
assert curve.loss[-1] < curve.loss[0]
folder = Path(sys.argv[1])
save_bundle(bundle, folder / "bundle")
pq.write_table(rows, folder / "rows.parquet")
np.save(folder / "mean.npy", bundle.predict(rows).mean)
"""
LOAD = """
import sys
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from tasks.learning.bundle import load_bundle

folder = Path(sys.argv[1])
again = load_bundle(folder / "bundle").predict(pq.read_table(folder / "rows.parquet")).mean
assert np.array_equal(again, np.load(folder / "mean.npy"))
assert not any(m.split(".")[0] == "data_contracts" for m in sys.modules)
"""
TELL = """
import sys
from pydantic import TypeAdapter, ValidationError
from data_contracts.errors import refusals
from data_contracts.recipes import Recipe

for name in sys.argv[1:]:
    try:
        print("fine:", TypeAdapter(Recipe).validate_python({"architecture": name}).architecture)
    except ValidationError as error:
        for found in refusals(error):
            print(*found.path, found.expected, found.hint)
"""
ASK = """
import sys
from tasks.learning.networks import NoArchitecture, architecture

for name in sys.argv[1:]:
    try:
        print(architecture(name))
    except NoArchitecture as fault:
        print(fault)
"""
CALLBACKS = """

class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch {epoch}: {logs['val_loss']:.9f}")
        if epoch == 1:
            self.model.stop_training = True


class Stopping(Wide):
    def callbacks(self, recipe):
        return [Stops()]
"""
STOP = """
from tasks.backends import backend
from tasks.learning.fit_many import why_in_turn
from tasks.learning.fitting import fit
from tests.builders import small_contract, small_rows

contract = small_contract(recipe={"architecture": "wide", "epochs": 5, "batch_size": 100})
bundle, curve = fit(contract, small_rows(300), small_rows(100, seed=1), compiler=backend())
for epoch, loss in enumerate(curve.val_loss):
    print(f"epoch {epoch}: {loss:.9f}")
print(why_in_turn(contract))
"""


def installed(folder: Path, package: str, points: dict[str, str], **modules: str) -> None:
    """Lay a package into `folder` with the entry points of its groups."""
    place = folder / package
    place.mkdir(parents=True)
    for name, code in {"__init__": "", **modules}.items():
        (place / f"{name}.py").write_text(code, "utf-8")
    facts = folder / f"{package}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    text = "".join(f"[{group}]\n{lines}\n" for group, lines in points.items())
    (facts / "entry_points.txt").write_text(text, "utf-8")


def path_with(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def python(folder: Path, code: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run code where the packages in `folder` are installed."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=surroundings(path_with(folder)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def told(folder: Path, *architectures: str) -> list[str]:
    """Return what contracts that name the architectures are answered, a line each."""
    done = python(folder, TELL, *architectures)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a package that brings the architecture `wide`."""
    installed(tmp_path / "site", "wide", POINTS, recipe=RECIPE, network=NETWORK)
    return tmp_path / "site"


def test_a_brought_architecture_trains_and_predicts_the_same_in_another_process(
    site: Path, tmp_path: Path
) -> None:
    done = python(site, TRAIN, tmp_path)
    assert done.returncode == 0, done.stderr
    done = python(site, LOAD, tmp_path)
    assert done.returncode == 0, done.stderr


def test_callbacks_that_an_architecture_brings_are_called_and_stop_training(
    tmp_path: Path,
) -> None:
    points = POINTS | {"polycast.architectures": "wide = wide.network:Stopping"}
    installed(tmp_path / "site", "wide", points, recipe=RECIPE, network=NETWORK + CALLBACKS)
    done = python(tmp_path / "site", STOP)
    assert done.returncode == 0, done.stderr
    *lines, why = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[:2] == lines[2:]
    assert why == "architecture: wide, which has callbacks"


def test_polycast_recipes_lists_a_brought_architecture_and_shows_its_options(
    site: Path, tmp_path: Path
) -> None:
    listed = polycast(tmp_path, "recipes", **path_with(site))
    assert "One hidden layer, as wide as the inputs ask for (from wide)" in listed.stdout
    shown = polycast(tmp_path, "recipes", "wide", **path_with(site))
    assert "Hidden units for each input." in shown.stdout
    assert "architecture: wide\n    factor: 4" in shown.stdout


def test_a_wrong_option_of_a_brought_architecture_is_refused_with_those_it_has(
    site: Path, tmp_path: Path
) -> None:
    write_contract(tmp_path, recipe={"architecture": "wide", "factr": 2})
    refused = polycast(tmp_path, "check", DATASET, **path_with(site))
    assert refused.returncode == 2
    assert "recipe.factr" in refused.stderr
    assert "did you mean 'factor'?" in refused.stderr


def test_the_schema_has_the_options_of_a_brought_architecture(site: Path, tmp_path: Path) -> None:
    schema = polycast(tmp_path, "schema", **path_with(site)).stdout
    assert "Hidden units for each input." in schema


def test_a_brought_recipe_is_loaded_by_none_but_who_names_it(site: Path) -> None:
    code = (
        "import sys; from tests.builders import small_contract; small_contract()\n"
        "assert 'wide' not in sys.modules\n"
        "small_contract(recipe={'architecture': 'wide'}); assert 'wide.recipe' in sys.modules\n"
        "assert 'wide.network' not in sys.modules\n"
    )
    done = python(site, code)
    assert done.returncode == 0, done.stderr


def test_a_name_of_our_own_is_refused_to_a_package(tmp_path: Path) -> None:
    points = {group: line.replace("wide =", "shared =") for group, line in POINTS.items()}
    installed(tmp_path, "wide", points, recipe=RECIPE, network=NETWORK)
    clash, other = told(tmp_path, "shared", "quantile")
    assert clash.startswith("architecture expected an architecture") or "Polycast" in clash
    assert "'shared', which the package wide brings too, is Polycast's own" in clash
    assert other == "fine: quantile"
    listed = polycast(tmp_path, "recipes", **path_with(tmp_path))
    assert listed.returncode == 0
    assert "is Polycast's own" in " ".join(listed.stdout.split())


def test_two_packages_with_one_name_are_both_refused(site: Path) -> None:
    points = {group: line.replace("wide.", "broad.") for group, line in POINTS.items()}
    installed(site, "broad", points, recipe=RECIPE, network=NETWORK)
    (said,) = told(site, "wide")
    assert "broad, wide" in said
    assert "expected one entry point of polycast.recipes, came 2" in said


def test_a_recipe_without_a_network_is_refused(tmp_path: Path) -> None:
    group = "polycast.recipes"
    installed(tmp_path, "wide", {group: POINTS[group]}, recipe=RECIPE)
    (said,) = told(tmp_path, "wide")
    assert "expected one entry point of polycast.architectures, came 0" in said


AT_FAULT = {
    "lacking": ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "broken": ("1 / 0", "ZeroDivisionError"),
    "number": ("Model = 3", "number.recipe:Model is no subclass of BaseRecipe"),
    "misnamed": (
        RECIPE.replace("WideRecipe", "Model"),
        'needs `architecture: Literal["misnamed"]`',
    ),
}


def test_a_recipe_at_fault_is_told_with_its_package_and_harms_no_other(tmp_path: Path) -> None:
    for name, (code, _) in AT_FAULT.items():
        points = dict.fromkeys(POINTS, f"{name} = {name}.recipe:Model")
        installed(tmp_path, name, points, recipe=code)
    *said, fine = told(tmp_path, *AT_FAULT, "shared")
    assert fine == "fine: shared"
    listed = polycast(tmp_path, "recipes", **path_with(tmp_path))
    assert listed.returncode == 0
    shown = " ".join(listed.stdout.split())
    for line, (name, (_, words)) in zip(said, AT_FAULT.items(), strict=True):
        assert f"architecture {name!r}, which the package {name} brings" in line
        assert words in line
        assert words in shown


def test_a_recipe_at_fault_that_is_asked_for_is_wrong_usage(tmp_path: Path) -> None:
    installed(tmp_path, "wide", POINTS, recipe="import nothing_of_this_name", network=NETWORK)
    asked = polycast(tmp_path, "recipes", "wide", **path_with(tmp_path))
    assert asked.returncode == 2
    assert "the package wide brings, cannot be loaded from wide.recipe:WideRecipe" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert polycast(tmp_path, "schema", **path_with(tmp_path)).returncode == 0


def test_a_network_at_fault_is_told_with_its_package(tmp_path: Path) -> None:
    faults = {
        "lacking": ("import nothing_of_this_name", "ModuleNotFoundError: No module named"),
        "number": ("Wide = 3", "number.network:Wide is no subclass of Architecture"),
        "half": (NETWORK.replace("build", "made"), "half.network:Wide lacks build"),
    }
    for name, (code, _) in faults.items():
        group = "polycast.architectures"
        installed(tmp_path, name, {group: f"{name} = {name}.network:Wide"}, network=code)
    done = python(tmp_path, ASK, *faults, "nobody")
    assert done.returncode == 0, done.stderr
    *said, nobody = done.stdout.splitlines()
    for line, (name, (_, words)) in zip(said, faults.items(), strict=True):
        assert f"architecture {name!r}, which the package {name} brings" in line
        assert words in line
    assert "'nobody': expected auto, shared, multi_head" in nobody
