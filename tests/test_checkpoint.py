"""Checkpoints: what is kept of a run, what is refused, and what a run goes back to."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks import checkpoints, memory
from tasks.backends import backend
from tasks.checkpoints import Checkpoints, forget_checkpoints
from tasks.feed import fed
from tasks.learning.checkpoint import Unusable, from_bytes, to_bytes
from tasks.learning.errors import Diverged
from tasks.learning.fitting import fit_network
from tasks.records import Candidate
from tasks.storage import root_storage
from tasks.train import train_candidate
from tests.builders import plain_layout, small_candidate, small_contract, small_rows
from tests.objects import object_storage
from tests.test_epochs import TRAIN, VALIDATION
from tests.test_faults import may_mount
from tests.test_feeding import shard, whole


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.0)
    caplog.set_level(logging.INFO, "polycast")


def fitted(*callbacks: Any, place: str = "", **options: Any) -> tuple[Any, Any]:
    recipe = {"architecture": "shared", "hidden": [8], "epochs": 4, "batch_size": 107} | options
    contract = small_contract(recipe=recipe)
    network, curve = fit_network(
        contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, backend(), callbacks,
        Checkpoints(place) if place else None,
    )  # fmt: skip
    return [w.tobytes() for w in network.get_weights()], curve


class Killed(BaseException):
    """What ends a run at once."""


class Dies(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run as its third epoch begins."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise Killed


def spoil(path: str) -> None:
    content = bytearray(root_storage().read(path) or b"")
    content[-200] ^= 1
    root_storage().put(path, bytes(content))


def test_a_spoiled_checkpoint_is_refused_and_the_one_before_is_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Lives(Dies):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None: ...

    Lives.__name__ = "Dies"
    wanted = fitted(Lives(), dropout=0.2)
    with pytest.raises(Killed):
        fitted(Dies(), place="one", dropout=0.2)
    first, last = root_storage().places("checkpoints/one")
    spoil(last)
    assert fitted(Lives(), place="one", dropout=0.2) == wanted
    assert f"{last} is refused: its SHA-256 is not the one" in caplog.text
    assert f"goes on in epoch 2 after 1 of its steps, from checkpoint {first}" in caplog.text
    for path in root_storage().places("checkpoints/one"):
        spoil(path)
    assert fitted(Lives(), place="one", dropout=0.2) == wanted
    assert "no checkpoint can be used: training starts anew" in caplog.text


def test_a_checkpoint_of_another_network_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    fitted(place="one", epochs=1)
    fitted(place="one", epochs=1, hidden=[4])
    assert "refused: its variables are not those of this network" in caplog.text


def test_a_tree_comes_back_from_bytes_as_it_was() -> None:
    tree = {"a": [1, 0.1, float("inf"), None, "x"], "b": (np.arange(3), True), "c": np.float32(2)}
    found = from_bytes(to_bytes(tree))
    assert found["a"] == tree["a"]
    assert found["b"][0].tolist() == [0, 1, 2]
    assert (type(found["b"]), type(found["c"])) == (tuple, np.float32)
    with pytest.raises(Unusable, match="SHA-256"):
        from_bytes(to_bytes(tree)[:-1])
    with pytest.raises(Unusable, match="does not begin as"):
        from_bytes(b"")


def test_checkpoints_lie_at_an_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_storage() as address:
        monkeypatch.setenv("POLYCAST_HOME", f"{address}/one")
        kept = Checkpoints("one")
        for epoch in (1, 2, 3):
            kept.write((0, epoch, 0), b"%d" % epoch)
        assert [content for _, content in Checkpoints("one").last()] == [b"3", b"2"]
        forget_checkpoints("one")
        forget_checkpoints("one")
        assert not list(Checkpoints("one").last())


def test_two_runs_at_once_leave_the_two_checkpoints_that_are_furthest() -> None:
    ahead, behind = Checkpoints("one"), Checkpoints("one")
    for epoch in (5, 6, 7):
        ahead.write((0, epoch, 0), b"%d" % epoch)
        behind.write((0, epoch - 4, 0), b"%d" % (epoch - 4))
    behind.write((1, 2, 0), b"2")  # It went back, and is further by that.
    (Path(root_storage().path) / "checkpoints/one/.draft.checkpoint.ab12").write_bytes(b"half")
    assert [content for _, content in Checkpoints("one").last()] == [b"2", b"7"]
    forget_checkpoints("one")
    forget_checkpoints("one")
    assert not list(Checkpoints("one").last())


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_that_diverges_goes_back_with_a_lower_learning_rate(
    schedule: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Rates(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    rates: list[float] = []
    options = {"optimizer": "sgd", "learning_rate": 10.0, "schedule": schedule, "batch_size": 25}
    _, curve = fitted(Rates(), epochs=8, **options)
    assert np.isfinite(curve.loss).all()
    assert len(curve.loss) == 8
    assert rates[0] == 10.0
    assert rates[-1] < 2.0
    told = [r.getMessage() for r in caplog.records if "goes back to" in r.getMessage()]
    assert "with a tenth of the learning rate, time 1 of at most 2" in told[0]


class Breaks(keras.callbacks.Callback):  # type: ignore[misc]
    """Multiplies a bias in the third epoch, whenever that comes."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            bias = self.model.network.get_layer("targets").bias
            bias.assign(np.full(2, self.factor, "f"))


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (np.inf, "the loss of a is no number at step 3, in epoch 3"),
        (1e6, r"the train loss rose to \S+ in epoch 3, from \S+ untrained"),
    ],
)
def test_a_run_that_diverges_three_times_stops_with_the_reason(
    factor: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Diverged, match=said + ".*Training went back 2 times") as found:
        fitted(Breaks(factor))
    assert found.value.good_epoch == 2
    assert caplog.text.count("goes back to the end of epoch 2") == 2
    assert np.isfinite(found.value.network.predict(TRAIN.inputs, verbose=0)).all()


def test_a_run_that_was_killed_knows_that_it_went_back(caplog: pytest.LogCaptureFixture) -> None:
    class Once(Breaks):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch)
            if epoch == 2 and "goes back" in caplog.text:
                raise Killed

    class Again(Breaks):
        pass

    Again.__name__ = "Once"
    with pytest.raises(Killed):
        fitted(Once(np.inf), place="one")
    with pytest.raises(Diverged, match="went back 2 times"):
        fitted(Again(np.inf), place="one")


def test_networks_that_are_trained_are_not_trained_again(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    contract = small_contract(
        evaluation={"folds": 2, "control": "independent"},
        recipe={"base": "shared_128_64", "hidden": [2], "epochs": 2, "batch_size": 24},
        features={"x": {}}, targets={"a": {"unit": "K"}},
    )  # fmt: skip
    shards = small_candidate(contract, small_rows(100)).shards

    def candidate(name: str) -> Candidate:
        data = root_storage().fetch("shards")
        (tmp_path / name).mkdir()
        return train_candidate(contract, shards, data, tmp_path / name, "candidates/small/key")

    first = candidate("first")
    caplog.clear()
    assert candidate("second").validation_loss == first.validation_loss
    told = [r.getMessage() for r in caplog.records]
    assert sum("goes on in epoch 3" in line for line in told) == 1
    assert not any("epoch 1 of at most" in line for line in told)
    found = sorted(
        p.rsplit("/", 1)[-1] for p in root_storage().places("checkpoints/candidates/small/key")
    )
    assert found == ["fold_0-and-1-more", "fold_0-and-1-more-control", "refit"]


def test_a_run_that_goes_on_takes_its_rows_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "validation"):
        shard(tmp_path / f"{split}.parquet", whole())
    found = []
    for free in (1 << 10, 1 << 40, 1 << 30):
        monkeypatch.setattr(memory, "free", lambda free=free: free)
        with fed(tmp_path, tmp_path, Checkpoints("one")) as (train, _):
            found.append(getattr(train, "most", None))
    assert found[0] is not None
    assert found == [found[0]] * 3


FILLED = """
mount -t tmpfs -o size=900k tmpfs "$0" || exit 9
"$1" -m tests.surviving adam "$0"; echo "ended with $?"
find "$0" -name '*.checkpoint*' | wc -l
rm "$0/filler"
"$1" -m tests.surviving adam "$0"; echo "ended with $?"
"""


@pytest.mark.skipif(
    "POLYCAST_ALL_PARTS" not in os.environ and not may_mount(),
    reason="no file system of one's own can be mounted here",
)
def test_a_full_disk_is_told_and_the_last_checkpoints_stay(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", FILLED, str(tmp_path), sys.executable],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, kept, last = done.stdout.splitlines()
    assert (first, kept, last) == ("ended with 1", "2", "ended with 0")
    assert "NoRoom: no room is left on the disk of" in done.stderr
    assert "goes on in epoch" in done.stderr
