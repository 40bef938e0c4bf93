"""What `polycast up` starts, by the settings that it is started with."""

import pytest

from flows.up import _servers


def addresses() -> dict[str, str]:
    return {"prefect": "http://127.0.0.1:4200", "mlflow": "http://127.0.0.1:5000"}


def test_a_server_of_mlflow_is_named_where_there_is_one_and_none_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://team:word@mlflow.example.org")
    found = addresses()
    assert [server.name for server in _servers(found)] == ["the Prefect server"]
    assert found == addresses() | {"mlflow": "https://mlflow.example.org"}


def test_a_database_of_mlflow_gets_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    found = addresses()
    names = [server.name for server in _servers(found)]
    assert names == ["the Prefect server", "the MLflow server"]
    assert found == addresses()


@pytest.mark.parametrize("proxy", ["", "https://prefect.example.org"])
def test_the_page_asks_the_proxy_before_it_or_else_its_own_port(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    monkeypatch.setenv("PREFECT_UI_URL", proxy)
    monkeypatch.setenv("PREFECT_UI_API_URL", proxy and f"{proxy}/api")
    [prefect] = _servers(addresses())
    shown = proxy or "http://127.0.0.1:4200"
    assert prefect.environment["PREFECT_UI_URL"] == shown
    assert prefect.environment["PREFECT_UI_API_URL"] == f"{shown}/api"
    assert prefect.environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
