"""The contract: everything that one dataset means, in one typed model."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_contracts.agreement import disagreements
from data_contracts.annotations import Matching
from data_contracts.columns import (
    ColumnOrVector,
    Feature,
    Target,
    TargetGroup,
    expand,
    vector_name,
)
from data_contracts.constraints import Declared
from data_contracts.expectations import Expectations, columns_of
from data_contracts.gate import Gate
from data_contracts.monitoring import Monitoring
from data_contracts.recipes import AUTO, Recipe
from data_contracts.section import Column, Items, Section, all_refused
from data_contracts.settings import Evaluation, Publishing, Schedule, Training
from data_contracts.source import Source
from data_contracts.split import ColumnSplit, GroupSplit, Split
from data_contracts.tuning import Tuning

DatasetName = Annotated[
    str,
    Matching(
        r"[a-z][a-z0-9_]{0,62}",
        "lower-case letters, digits and underscores, starting with a letter, 63 at most",
    ),
]


class Contract(Section):
    """A dataset's contract. `format` is the version of this format."""

    format: Literal[1]
    """The version of the contract format."""
    dataset: DatasetName
    """The dataset's name: lower-case letters, digits and underscores."""
    description: str = ""
    """What the dataset is, in a sentence."""
    tags: Items[str] = ()
    """Words to find the dataset's runs by."""
    source: Source
    """Where the rows come from."""
    key: Items[Column] = Field(min_length=1)
    """The columns that name a row; no two rows share them."""
    time: Column | None = None
    """The column that orders rows in time."""
    features: dict[ColumnOrVector, Feature] = Field(min_length=1)
    """The inputs by column; `state_t[60]` stands for state_t_0 to state_t_59."""
    targets: dict[ColumnOrVector, Target] = Field(min_length=1)
    """What is predicted, by column; `tend_t[60]` stands for tend_t_0 to tend_t_59."""
    target_groups: dict[str, TargetGroup] = Field(default_factory=dict)
    """Names that targets may share, for scores and rules."""
    constraints: Items[Declared] = ()
    """Linear relations between columns that hold in every row, such as `dewp <= temp`, each as
    text or as `{holds: TEXT, enforce: true}`."""
    row_weight: Column | None = None
    """The column that says how much a row counts; all alike when absent."""
    expectations: Expectations = Expectations()
    """What must hold of the rows and of the table."""
    split: Split
    """How rows are divided into train, validation, calibration and test."""
    recipe: Recipe = Field(default=AUTO, validate_default=True)
    """`auto`, a ready-made name, {base: NAME, …changes}, or {architecture: …, …options}."""
    training: Training = Training()
    """How this machine trains."""
    tuning: Tuning | None = None
    """The search for a better recipe; none when absent."""
    evaluation: Evaluation = Evaluation()
    """What the candidate is compared with."""
    gate: Gate = Gate()
    """When a candidate may become champion."""
    publishing: Publishing = Publishing()
    """Where a passed candidate goes."""
    schedule: Schedule | None = None
    """When the dataset is retrained without being asked; never when absent."""
    monitoring: Monitoring | None = None
    """When the champion is watched; only when asked for, when absent."""

    @model_validator(mode="after")
    def _names_agree(self) -> "Contract":
        found = list(disagreements(self))
        if found:
            raise all_refused("Contract", found)
        return self

    @property
    def feature_columns(self) -> dict[str, Feature]:
        """Every feature column with its meaning, vector groups spread out."""
        return {c: f for name, f in self.features.items() for c in expand(name)}

    @property
    def target_columns(self) -> dict[str, Target]:
        """Every target column with its meaning, vector groups spread out, in order."""
        return {c: t for name, t in self.targets.items() for c in expand(name)}

    @property
    def present_columns(self) -> dict[str, str]:
        """The column of each target's present value, for the targets that name one."""
        return {
            target: present
            for name, t in self.targets.items()
            if t.present
            for target, present in zip(expand(name), expand(t.present), strict=True)
        }

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the target columns of each target group and of each vector target."""
        found: dict[str, tuple[str, ...]] = {}
        for name, target in self.targets.items():
            for group in filter(None, (target.group, vector_name(name))):
                found[group] = found.get(group, ()) + expand(name)
        return found

    def columns(self) -> list[str]:
        """Return every column that the contract needs from the query, each once."""
        return list(dict.fromkeys(self._columns()))

    def _columns(self) -> Iterator[str]:
        yield from self.key
        yield from filter(None, (self.time, self.row_weight))
        yield from self.feature_columns
        yield from self.target_columns
        yield from self.present_columns.values()
        for constraint in self.constraints:
            yield from constraint.columns
        for check in (*self.expectations.rows, *self.expectations.table):
            yield from columns_of(check)
        if isinstance(self.split, GroupSplit):
            yield from self.split.columns
        if isinstance(self.split, ColumnSplit):
            yield self.split.column

    @property
    def registered_model(self) -> str:
        """The name that the registry knows the dataset's models by."""
        return self.publishing.model or self.dataset
