"""Training as the Prefect UI shows it, by a real server and by one that does not answer."""

import logging
import socket
from contextlib import suppress
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import progress
from flows.progress import Progress


def tell(epoch: int) -> None:
    """Tell of an epoch of four, as training does."""
    news = {"epoch": epoch, "epochs": 4, "losses": {"temp": 0.5, "dewp": 0.25}}
    logging.getLogger("polycast").warning("epoch %d of at most 4", epoch, extra=news)


def test_the_artifact_follows_training_to_its_end(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)

    @flow(name="trains")
    def training() -> list[Any]:
        found = []
        with get_client(sync_client=True) as client:
            with Progress("small") as shown:
                tell(1)
                assert shown.sent is not None
                shown.sent.result()
                key = {"artifacts": {"id": {"any_": [str(shown.artifact)]}}}
                found += client.request("POST", "/artifacts/filter", json=key).json()
                tell(3)
            return found + client.request("POST", "/artifacts/filter", json=key).json()

    with temporary_settings({PREFECT_API_URL: api}):
        first, last = training()
    assert first["flow_run_id"] is not None
    assert first["key"] == "small-04-training-progress"
    assert first["data"] == 25.0
    assert "epoch 1 of at most 4; at most" in first["description"]
    assert "temp 0.5000  dewp 0.2500" in first["description"]
    assert (last["data"], last["description"]) == (100.0, "trained")


@pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow")
def test_training_does_not_wait_for_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        settings = {PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(settings), suppress(KeyboardInterrupt), Progress("small") as shown:
            tell(1)
            near, _ = silent.accept()
            tell(2)
            assert shown.sent is not None
            told_at_once = not shown.sent.done()
            raise KeyboardInterrupt
        near.close()
    assert told_at_once
