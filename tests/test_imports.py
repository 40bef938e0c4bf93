"""Imports run one way, and the dear ones only where they are used."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("data_contracts", "tasks.learning", "tasks.backends", "tasks", "flows", "deployments")
STAGES = ("ingest", "validate", "preprocess", "train", "evaluate", "judge", "publish", "report")


def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name."""
    found = {}
    for top in ("data_contracts", "tasks", "flows", "deployments"):
        for file in (ROOT / top).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(p for p in parts if p != "__init__")] = file
    return found


def imported(file: Path, top_only: bool = False) -> set[str]:
    """Return what a file imports, anywhere or at its top alone."""
    tree = ast.parse(file.read_text("utf-8"))
    names: set[str] = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def layer(module: str) -> int | None:
    """Return the place of a module's layer; the longest name that fits decides."""
    fits = [name for name in LAYERS if module == name or module.startswith(f"{name}.")]
    return LAYERS.index(max(fits, key=len)) if fits else None


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_from_its_layer_or_below(module: str) -> None:
    own = layer(module)
    assert own is not None
    for name in imported(modules()[module]):
        other = layer(name)
        assert other is None or other <= own or name == "tasks", f"{module} imports {name}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_never_imports_another_stage(stage: str) -> None:
    own = [f for m, f in modules().items() if m == f"tasks.{stage}" or f"tasks.{stage}." in m]
    others = {f"tasks.{s}" for s in STAGES if s != stage}
    assert own
    for file in own:
        assert not {n for n in imported(file) if any(n.startswith(o) for o in others)}, file


def test_the_numeric_core_imports_neither_backend_nor_orchestrator() -> None:
    barred = {"prefect", "mlflow", "great_expectations", "tensorflow", "jax", "duckdb", "sklearn"}
    for module, file in modules().items():
        if module.startswith("tasks.learning"):
            assert not {n.split(".")[0] for n in imported(file)} & barred, module
            assert "pandas" not in imported(file, top_only=True), module


def test_contracts_import_no_keras() -> None:
    for module, file in modules().items():
        if module.startswith("data_contracts"):
            assert not {n.split(".")[0] for n in imported(file)} & {"keras", "tensorflow"}, module


def test_prefects_server_can_be_made_with_the_installed_fastapi() -> None:
    # Later releases of fastapi break it while `pip check` passes.
    from prefect.server.api.server import create_app

    assert create_app(ephemeral=True).routes
