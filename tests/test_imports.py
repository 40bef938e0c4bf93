"""Imports run one way, and the dear ones only where they are used."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.walk import surroundings

ROOT = Path(__file__).parents[1]
LAYERS = ("data_contracts", "tasks.learning", "tasks.backends", "tasks", "flows", "deployments")
STAGES = (
    "ingest", "validate", "preprocess", "train", "evaluate", "judge", "publish", "report",
    "predict", "monitor",
)  # fmt: skip


def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name."""
    found = {}
    for top in ("data_contracts", "tasks", "flows", "deployments"):
        for file in (ROOT / top).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(p for p in parts if p != "__init__")] = file
    return found


def imported(module: str, top_only: bool = False) -> set[str]:
    """Return what a module imports, anywhere or as it is loaded alone."""
    file = modules()[module]
    tree = ast.parse(file.read_text("utf-8"))
    names: set[str] = set()
    for node in loaded(tree.body) if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            source = str(node.module)
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def loaded(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what runs as a module is loaded: no function's body, nothing for types alone."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from loaded(node.orelse)
            continue
        yield node
        yield from loaded(ast.iter_child_nodes(node))


def tops(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer(module: str) -> int | None:
    """Return the place of a module's layer; the longest name that fits decides."""
    fits = [name for name in LAYERS if within(module, name)]
    return LAYERS.index(max(fits, key=len)) if fits else None


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_from_its_layer_or_below(module: str) -> None:
    own = layer(module)
    assert own is not None
    for name in imported(module):
        other = layer(name)
        # `from tasks.learning import x` loads the package of all tasks too.
        assert other is None or other <= own or name == "tasks", f"{module} imports {name}"


def test_the_package_that_all_layers_of_tasks_share_imports_nothing_of_ours() -> None:
    assert not {name for name in imported("tasks") if layer(name) is not None}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_never_imports_another_stage(stage: str) -> None:
    """Neither itself nor through a module that it imports."""
    seen: set[str] = set()
    ahead = {m for m in modules() if within(m, f"tasks.{stage}")}
    assert ahead
    while ahead:
        module = ahead.pop()
        seen.add(module)
        ahead |= (imported(module) & set(modules())) - seen
    others = [f"tasks.{s}" for s in STAGES if s != stage]
    assert not {m for m in seen if any(within(m, o) for o in others)}


@pytest.mark.parametrize("module", [m for m in modules() if within(m, "tasks.learning")])
def test_the_numeric_core_imports_neither_backend_nor_orchestrator(module: str) -> None:
    barred = {"prefect", "mlflow", "great_expectations", "tensorflow", "jax", "duckdb", "sklearn"}
    if module == "tasks.learning.trees":
        barred.remove("sklearn")  # It grows the trees, and is loaded where they are grown.
    assert not tops(imported(module)) & barred
    assert "pandas" not in tops(imported(module, top_only=True))


def test_contracts_import_no_keras() -> None:
    for module in modules():
        if within(module, "data_contracts"):
            assert not tops(imported(module)) & {"keras", "tensorflow"}, module


DEAR = {"tensorflow", "keras", "jax", "mlflow", "great_expectations", "sklearn", "matplotlib"}


def test_the_flows_import_no_dear_library_until_a_stage_needs_it() -> None:
    modules = "flows.retrain, flows.train, flows.predict, flows.monitor, flows.cli"
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=surroundings({}), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not DEAR & set(done.stdout.split())


def test_what_is_finished_is_found_before_prefect_is_imported() -> None:
    """It reads once, as it is imported, which server it reports to."""
    modules = "flows.plan, flows.choice, flows.server, flows.terminal, flows.up, flows.cli"
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=surroundings({}), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "prefect" not in done.stdout.split()


def test_prefects_server_can_be_made_with_the_installed_fastapi() -> None:
    # Later releases of fastapi break it while `pip check` passes.
    from prefect.server.api.server import create_app

    assert create_app(ephemeral=True).routes


@pytest.mark.skipif("POLYCAST_ALL_PARTS" not in os.environ, reason="some parts may be missing")
def test_every_package_without_which_a_test_skips_is_installed() -> None:
    texts = [file.read_text("utf-8") for file in (ROOT / "tests").glob("*.py")]
    skipping = {n for text in texts for n in re.findall(r'importorskip\("([\w.]+)"\)', text)}
    rivals = {"torch"}  # the benchmarks' alone
    assert skipping > rivals
    assert [name for name in sorted(skipping - rivals) if find_spec(name) is None] == []
