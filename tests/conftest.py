"""What every test starts from: quiet libraries, and state in a folder of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.walk import prefect_server

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Networks here run for a moment: what compiling them well costs is never won back.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL")


def _forget_addresses(patch: pytest.MonkeyPatch) -> None:
    for name in ADDRESSES:
        # Set first, so that what MLflow itself puts there meanwhile goes when the patch ends.
        patch.setenv(name, "")
        patch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def _own_addresses() -> Iterator[None]:
    """Keep what MLflow puts into the environment for a module's fixtures from the next module's."""
    with pytest.MonkeyPatch.context() as patch:
        _forget_addresses(patch)
        yield


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep state and addresses away from whatever the developer has."""
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "state"))
    _forget_addresses(monkeypatch)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server for all who do not care which one they report to."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as address:
        yield address


LONGEST = (
    "test_backends",
    "test_walk",
    "test_architectures",
    "test_prefect_ui",
    "test_readme",
    "test_approval",
    "test_faults",
    "test_fleet",
    "test_hosts",
    "test_publishing",
    "test_as_of",
    "test_survival",
    "test_tuning",
    "test_auto",
)
"""Files that begin first: at the end, one of them would leave every other worker idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
