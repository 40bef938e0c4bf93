"""What is judged, and by what: a contract's gate, the scores, and what lies in their files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.learning.block_sums import BlockSums
from tasks.learning.paired_slices import load_paired_slices
from tasks.records import Metric, Ruling, Scores, SliceScore
from tasks.slices_file import read_slices
from tasks.storage import root_storage

LEAST_ROWS = 30
"""Fewer test rows tell nothing of a slice, of intervals, or of a champion to which they are new."""

STILL = "it does not vary in the train rows, nor in the test rows: there is nothing to learn"


@dataclass(frozen=True)
class Evidence:
    """What the gate needs beside the scores themselves."""

    paired: BlockSums | None = None
    """Errors of candidate and champion by block, targets as the contract orders them."""
    slices: tuple[SliceScore, ...] = ()
    parts: tuple[list[str], NDArray[np.float64]] | None = None
    """Errors of both by slice: the slices' names and sums, as `PairedSlices` saves them."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def read_evidence(scores: Scores, now: datetime) -> Evidence:
    """Return the evidence in the files of finished scores, fetched from storage."""
    folder = root_storage().fetch(scores.place)
    paired, slices = folder / "paired.npz", folder / "slices.parquet"
    parts = folder / "paired_slices.npz"
    return Evidence(
        paired=BlockSums.load(paired) if paired.exists() else None,
        slices=tuple(read_slices(slices)) if slices.exists() else (),
        parts=load_paired_slices(parts) if parts.exists() else None,
        now=now,
    )


@dataclass(frozen=True)
class Case:
    """The contract, the scores and the evidence, and how a ruling is written."""

    contract: Contract
    scores: Scores
    evidence: Evidence

    def targets(self, named: Iterable[str]) -> list[str]:
        """Return the target columns that a rule names, groups spread out; all where none."""
        groups = self.contract.groups()
        columns = [c for name in named for c in groups.get(name, (name,))]
        return list(dict.fromkeys(columns)) or list(self.contract.target_columns)

    def critical(self, target: str) -> bool:
        """Say whether a target blocks."""
        return self.contract.target_columns[target].tier == "critical"

    def unit(self, target: str) -> str:
        """Return a target's unit, as it stands behind a number."""
        return self.contract.target_columns[target].unit_words

    def told(self, value: float, target: str) -> str:
        """Return an error in a target's unit, in words."""
        return f"{value:.4g} {self.unit(target)}".rstrip()

    @cached_property
    def slices(self) -> dict[tuple[str, str], SliceScore]:
        """The candidate's errors by slice and target."""
        return {(s.slice, s.target): s for s in self.evidence.slices}

    @cached_property
    def still(self) -> frozenset[str]:
        """The targets that vary in the train rows of no fold, nor in its test rows.

        There is nothing to learn of them, and their error is a model's own noise: to hold it
        against another's, or against no error at all, says nothing.
        """
        folds = {f.index: set(f.constant) for f in self.scores.candidate.shards.folds}
        own = [s for s in self.scores.scores if s.model == "candidate"]
        moving = {s.target for s in own if not s.r2_note or s.target not in folds.get(s.fold, ())}
        return frozenset({s.target for s in own} - moving)

    def beside(self, model: str, target: str, metric: Metric) -> float | None:
        """Return the candidate's metric on the rows that another model answers too."""
        own = [s for s in self.scores.scores if (s.model, s.target) == (model, target)]
        known = [s.candidate[metric] for s in own if metric in s.candidate]
        return sum(known) / len(known) if known else self.scores.of("candidate", target, metric)

    def ruling(
        self,
        rule: str,
        target: str,
        passed: bool,
        value: float | None,
        limit: float | None,
        reason: str,
        blocks: bool = True,
    ) -> Ruling:
        """Return what a rule says of a target, which only warns where the target is minor."""
        minor = target in self.contract.target_columns and not self.critical(target)
        return Ruling(
            rule=rule,
            target=target,
            passed=passed,
            blocks=blocks and not minor,
            value=value,
            limit=limit,
            reason=reason,
        )

    def silent(self, rule: str, target: str, reason: str) -> Ruling:
        """Return a ruling that has nothing to judge."""
        return self.ruling(rule, target, True, None, None, reason, blocks=False)

    def unmoved(self, rule: str, target: str, metric: Metric) -> Ruling:
        """Return the ruling of a relative rule on a target that is still."""
        own = self.scores.of("candidate", target, metric)
        error = "" if own is None else f"; {metric} {self.told(own, target)}"
        return self.silent(rule, target, f"{STILL}{error}")

    def unsure(self, rule: str, target: str, reason: str) -> Ruling:
        """Return a ruling that the test rows cannot tell."""
        found = self.ruling(rule, target, False, None, None, reason)
        return found.model_copy(update={"unsure": True})
