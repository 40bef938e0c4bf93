"""What is added up over the test rows of all folds: errors by slice, paired errors by block, and
how sure the coverage of intervals is."""

import math
from collections.abc import Sequence

import numpy as np

from data_contracts.contract import Contract
from tasks.evaluate.blocks import CANDIDATE, CHAMPION, Block
from tasks.evaluate.fold_rows import FoldRows
from tasks.evaluate.row_blocks import Order, row_blocks
from tasks.learning.block_sums import BlockSums
from tasks.learning.conformal import LEVELS
from tasks.learning.coverage_sums import CoverageSums
from tasks.learning.paired_slices import PairedSlices
from tasks.learning.slice_sums import SliceErrors, SliceSums, worst
from tasks.learning.slices import Slicer
from tasks.records import CoverageError, SliceScore


class RunSums:
    """Sums over all folds. With several folds, each is one block of the paired test."""

    def __init__(
        self, contract: Contract, tests: Sequence[FoldRows], slicer: Slicer, models: Sequence[str]
    ) -> None:
        targets = list(contract.target_columns)
        self.slicer, self.folds = slicer, [test.fold for test in tests]
        self.blocks = row_blocks(contract, tests)
        self.by_slice = SliceSums(slicer.labels, targets, models, self.blocks.count)
        count = self.blocks.count if len(tests) == 1 else len(tests)
        self.paired = BlockSums(count, len(targets))
        self.parts = PairedSlices(slicer.labels, len(targets), self.blocks.count)
        self.targets = targets
        self.coverage = CoverageSums(len(targets), LEVELS, self.blocks.count)

    @property
    def order(self) -> Order:
        """What a block of the paired test is made of."""
        return self.blocks.order if len(self.folds) == 1 else "folds"

    def add(self, block: Block) -> None:
        """Add a block of test rows."""
        means, place = block.means, self.blocks(block.rows)
        self.coverage.add(place, block.truth, block.answers[CANDIDATE], block.weight)
        codes = self.slicer.assign(block.rows)
        kept = {m: means[m] for m in self.by_slice.models}
        self.by_slice.add(codes, place, block.truth, kept, block.weight)
        if CHAMPION in means:
            pair = means[CANDIDATE], means[CHAMPION]
            self.parts.add(codes, place, block.truth, *pair, block.weight)
            if len(self.folds) > 1:
                place = np.full(len(block), self.folds.index(block.fold))
            self.paired.add(place, block.truth, *pair, block.weight)

    def slices(self) -> list[SliceScore]:
        """Return the errors in every slice, by target."""
        return [_score(s) for s in self.by_slice.errors()]

    def coverage_errors(self) -> list[CoverageError]:
        """Return how sure the coverage of the candidate's intervals is, where that can be told."""
        return [
            CoverageError(
                target=self.targets[found.target], level=level, error=error, clusters=found.clusters
            )
            for found in self.coverage.errors()
            for level, error in zip(found.levels, found.errors, strict=True)
            if not math.isnan(error)
        ]

    def worst(self) -> list[SliceScore]:
        """Return the slices that are surely worse than the whole, worst first."""
        return [_score(s) for s in worst(self.by_slice.errors())]


def _score(errors: SliceErrors) -> SliceScore:
    return SliceScore.model_validate(vars(errors))
