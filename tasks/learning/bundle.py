"""The bundle: one folder that predicts raw rows in the targets' units.

`bundle.json` names the members; each member's folder holds `network.keras` and
`preprocessing.json`. Nothing in it is pickled, and networks load in Keras' safe mode.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tasks.learning import losses  # noqa: F401  registers our classes with Keras
from tasks.learning.predictions import Predictions, combine
from tasks.learning.preprocessing import Preprocessing

FORMAT = 1
BATCH_ROWS = 8192


@dataclass(frozen=True)
class Member:
    """A trained network together with the preprocessing that it needs."""

    network: keras.Model
    preprocessing: Preprocessing

    def predict(self, rows: Any) -> Predictions:
        """Return predictions in units for raw rows (Arrow or pandas). Raises ValueError."""
        inputs = self.preprocessing.encode(rows)
        targets = self.preprocessing.targets
        if not len(inputs):  # Keras cannot predict nothing.
            return Predictions(targets, np.empty((0, len(targets))))
        scaled = self.network.predict(inputs, batch_size=BATCH_ROWS, verbose=0)
        return Predictions(targets, self.preprocessing.invert(scaled, rows))


@dataclass(frozen=True)
class Bundle:
    """A candidate or a champion: members whose predictions are combined."""

    members: Sequence[Member]

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns, in order."""
        return self.members[0].preprocessing.targets

    def predict(self, rows: Any) -> Predictions:
        """Return predictions in units for raw rows (Arrow or pandas).

        Columns that no input needs are left aside. Raises ValueError that names a column which
        is missing or of the wrong type.
        """
        return combine([member.predict(rows) for member in self.members])


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Write the bundle into `folder`, which is made."""
    for i, member in enumerate(bundle.members):
        place = folder / f"member_{i}"
        place.mkdir(parents=True)
        member.network.save(place / "network.keras")
        (place / "preprocessing.json").write_text(member.preprocessing.to_json(), "utf-8")
    content = {"format": FORMAT, "members": len(bundle.members), "targets": bundle.targets}
    (folder / "bundle.json").write_text(json.dumps(content, indent=1), "utf-8")


def load_bundle(folder: Path) -> Bundle:
    """Return the bundle in `folder`. Raises ValueError for a format that is not this one."""
    content = json.loads((folder / "bundle.json").read_text("utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"{folder}: expected bundle format {FORMAT}, came {content['format']}")
    return Bundle([_load_member(folder / f"member_{i}") for i in range(content["members"])])


def _load_member(place: Path) -> Member:
    network = keras.saving.load_model(place / "network.keras", compile=False, safe_mode=True)
    text = (place / "preprocessing.json").read_text("utf-8")
    return Member(network, Preprocessing.from_json(text))
