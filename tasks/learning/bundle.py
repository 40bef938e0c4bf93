"""The bundle: one folder that predicts raw rows in the targets' units.

`bundle.json` names the members; each member's folder holds `network.keras`,
`preprocessing.json` and `answer.json`. `conformal.json` holds the intervals of what the members
say together, where there were calibration rows; `reference.json` what the train rows looked like,
to see later how far others have moved. Nothing in it is pickled, and networks load in Keras' safe
mode.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.conformal import Conformal
from tasks.learning.held import TornError
from tasks.learning.limits import Limits
from tasks.learning.networks import architecture
from tasks.learning.predictions import Answer, Predictions, combine, stacked
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.reference import FILE as REFERENCE
from tasks.learning.reference import Reference, read_reference

FORMAT = 2
INNER_DRAWS = 128
"""Samples that a mean is taken over where it cannot be had in closed form."""
NUMBERS = 1 << 24
"""How many numbers an answer to some rows holds at most, while there can be fewer rows."""


@dataclass(frozen=True)
class Member:
    """A trained network together with all that its predictions need."""

    network: keras.Model
    preprocessing: Preprocessing
    architecture: str
    settings: Mapping[str, Any]
    """What the architecture needs to read the network's output."""
    limits: Limits

    def predict(self, rows: Any, draws: int = 0, seed: int = 0) -> Predictions:
        """Return predictions in units for raw rows (Arrow or pandas). Raises ValueError."""
        inputs = self.preprocessing.encode(rows)
        if not len(inputs):  # Keras cannot predict nothing.
            targets = self.preprocessing.targets
            return Predictions(targets, np.empty((0, len(targets))))
        step = self._rows_at_once(draws)
        return stacked(
            [
                self._predicted(rows[i : i + step], inputs[i : i + step], i, draws, seed)
                for i in range(0, len(inputs), step)
            ]
        )

    def _predicted(self, rows: Any, inputs: Any, first: int, draws: int, seed: int) -> Predictions:
        """Return predictions for some rows, of which the first is row `first` of all.

        Every call draws the same noise, which its rows share, so that no row's answer depends on
        which rows are asked for with it, nor its mean on whether samples are asked for too.
        """
        units = _Units(self, rows)
        try:
            # A mean of what is bent or limited is not the bent or limited mean.
            found = units.predictions(self._answer(inputs, 0 if self.exact else INNER_DRAWS, seed))
            samples = units.samples(self._answer(inputs, draws, seed)) if draws else None
        except TornError as fault:
            raise TornError(fault.words, first + fault.row) from None
        return replace(found, samples=samples)

    def _answer(self, inputs: Any, draws: int, seed: int) -> Answer:
        random = np.random.default_rng(seed)
        kind = architecture(self.architecture)
        return kind.answer(self.network, inputs, self.settings, draws, random)

    def _rows_at_once(self, draws: int) -> int:
        """Return how many rows may be answered at once, so that memory does not grow with them."""
        drawn = max(draws, 0 if self.exact else INNER_DRAWS) * len(self.preprocessing.targets)
        # A network that is no graph of layers does not tell what comes out of it.
        raw = (prod(n or 1 for n in out.shape[1:]) for out in getattr(self.network, "outputs", ()))
        most: int = max(drawn, sum(raw), 1)
        return max(1, NUMBERS // most)

    @property
    def exact(self) -> bool:
        """Whether a mean in scaled space is the mean in units."""
        return self.preprocessing.affine and self.limits.idle


@dataclass(frozen=True)
class _Units:
    """Turns one answer for `rows` from scaled space into units."""

    member: Member
    rows: Any

    def predictions(self, answer: Answer) -> Predictions:
        """Return all but the samples that were asked for."""
        quantiles = answer.quantiles and {q: self._held(v) for q, v in answer.quantiles.items()}
        mean, spread = self._mean(answer, self.samples(answer))
        return Predictions(self.member.preprocessing.targets, mean, spread, quantiles)

    def samples(self, answer: Answer) -> Any:
        """Return an answer's samples, None where it has none."""
        return None if answer.samples is None else self._held(answer.samples)

    def _mean(self, answer: Answer, samples: Any) -> tuple[Any, Any]:
        """Return the mean and the deviation, over members or samples where there are any."""
        spread = None if answer.spread is None else self._spread(answer.mean, answer.spread)
        if answer.members is not None:
            members = self._held(answer.members)
            among = members.std(axis=1)
            whole = among if spread is None else np.hypot(among, spread)
            return self._within(members.mean(axis=1)), whole
        if samples is not None and not self.member.exact and answer.quantiles is None:
            return self._within(samples.mean(axis=1)), samples.std(axis=1)
        return self._held(answer.mean), spread

    def _spread(self, mean: Any, spread: Any) -> Any:
        """Return a deviation in units: half the way between one above and one below."""
        invert = self.member.preprocessing.invert
        return (invert(mean + spread, self.rows) - invert(mean - spread, self.rows)) / 2

    def _held(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled values in units, within all limits."""
        return self._within(self.member.preprocessing.invert(scaled, self.rows))

    def _within(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values in units within all limits; a mean of such is, but for rounding."""
        return self.member.limits.enforce(values, self.rows)


@dataclass(frozen=True)
class Bundle:
    """A candidate or a champion: members whose predictions are combined."""

    members: Sequence[Member]
    conformal: Conformal | None = None
    """The intervals around what the members say together; None where none were fitted."""
    reference: Reference | None = None
    """What the train rows looked like; None where nobody looked."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns, in order."""
        return self.members[0].preprocessing.targets

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that an answer needs, each once."""
        read = (c for m in self.members for c in (*m.preprocessing.columns, *m.limits.columns))
        return tuple(dict.fromkeys(read))

    def predict(
        self, rows: Any, draws: int = 0, seed: int = 0, levels: Sequence[float] = ()
    ) -> Predictions:
        """Return predictions in units for raw rows (Arrow or pandas).

        `draws` asks for that many joint samples a row, where the architecture has a
        distribution; the same `seed` draws the same. `levels` asks for intervals and joint
        regions, where the bundle has them. Columns that no input needs are left aside. Raises
        ValueError that names a column which is missing or of the wrong type, and for a level
        that was not fitted.
        """
        found = combine([m.predict(rows, draws, seed + i) for i, m in enumerate(self.members)])
        limits = self.members[0].limits
        if len(self.members) > 1:
            # A mean of what holds the limits holds them, but for rounding.
            found = replace(found, mean=limits.enforce(found.mean, rows))
        if self.conformal is None or not levels:
            return found
        return self.conformal.widen(found, levels, limits)


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Write the bundle into `folder`, which is made."""
    for i, member in enumerate(bundle.members):
        place = folder / f"member_{i}"
        place.mkdir(parents=True)
        member.network.save(place / "network.keras")
        (place / "preprocessing.json").write_text(member.preprocessing.to_json(), "utf-8")
        answer = {
            "architecture": member.architecture,
            "settings": member.settings,
            "limits": member.limits.to_dict(),
        }
        (place / "answer.json").write_text(json.dumps(answer, indent=1), "utf-8")
    if bundle.conformal is not None:
        (folder / "conformal.json").write_text(bundle.conformal.to_json(), "utf-8")
    if bundle.reference is not None:
        (folder / REFERENCE).write_text(bundle.reference.to_json(), "utf-8")
    content = {"format": FORMAT, "members": len(bundle.members), "targets": bundle.targets}
    (folder / "bundle.json").write_text(json.dumps(content, indent=1), "utf-8")


def load_bundle(folder: Path) -> Bundle:
    """Return the bundle in `folder`. Raises ValueError for a format that is not this one."""
    content = json.loads((folder / "bundle.json").read_text("utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"expected bundle format {FORMAT}, came {content['format']}: {folder}")
    members = [_load_member(folder / f"member_{i}") for i in range(content["members"])]
    file = folder / "conformal.json"
    fitted = Conformal.from_json(file.read_text("utf-8")) if file.exists() else None
    return Bundle(members, fitted, read_reference(folder))


def _load_member(place: Path) -> Member:
    answer = json.loads((place / "answer.json").read_text("utf-8"))
    # Loading the architecture registers its layers with Keras.
    architecture(answer["architecture"])
    network = keras.saving.load_model(place / "network.keras", compile=False, safe_mode=True)
    preprocessing = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    limits = Limits.from_dict(answer["limits"])
    return Member(network, preprocessing, answer["architecture"], answer["settings"], limits)
