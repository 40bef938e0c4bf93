"""The benchmarks can at least begin."""

import importlib
from pathlib import Path

import pytest

MODULES = sorted(f.stem for f in (Path(__file__).parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_finds_all_that_it_uses(name: str) -> None:
    assert importlib.import_module(f"tests.benchmarks.{name}").__doc__
