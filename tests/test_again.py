"""`--from STAGE`: that stage and all later ones are forgotten, earlier ones are kept."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from flows.again import forget
from flows.names import STAGES
from tasks import ingest, preprocess, train, validate
from tasks.records import Checked, Fold, Shards, Snapshot
from tasks.start import began_with
from tests.builders import CANDIDATE, small_contract, small_rows
from tests.walk import polycast


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """Return a contract whose first three stages are finished, as far as manifests say."""
    file = tmp_path / "rows.parquet"
    pq.write_table(small_rows().drop_columns("_row"), file)
    contract = small_contract(source={"kind": "parquet", "path": str(file)})

    source = ingest.locate(contract)

    def rows(folder: Path) -> Snapshot:
        return ingest.take_snapshot(contract, source, folder)

    snapshot = ingest.STAGE.run(contract, source.identity(), work=rows)
    checked = Checked(snapshot=snapshot, rows=200, quarantined=0, expectations=0)
    checked = validate.STAGE.run(contract, snapshot.hash, work=lambda _: checked)
    shards = Shards(checked=checked, folds=(Fold(index=0, rows={}, inputs=5),), targets=("a", "b"))
    preprocess.STAGE.run(contract, checked.hash, work=lambda _: shards)
    return contract


def test_what_comes_before_the_stage_is_kept(contract: Contract) -> None:
    assert forget(contract, "validate") == ["validate", "preprocess"]
    snapshot = ingest.find(contract)
    assert snapshot is not None
    assert validate.find(contract, snapshot) is None


def test_from_the_first_stage_nothing_is_kept(contract: Contract) -> None:
    assert forget(contract, "ingest") == ["ingest", "validate", "preprocess"]
    assert ingest.find(contract) is None


def test_a_stage_that_was_never_reached_is_nothing_to_forget(contract: Contract) -> None:
    assert forget(contract, "judge") == []
    assert ingest.find(contract) is not None


def test_training_that_begins_with_the_champion_is_forgotten_too(contract: Contract) -> None:
    snapshot = ingest.find(contract)
    assert snapshot is not None
    checked = validate.find(contract, snapshot)
    assert checked is not None
    shards = preprocess.STAGE.find(contract, checked.hash)
    assert shards is not None
    made = CANDIDATE.model_copy(update={"shards": shards})
    train.STAGE.run(began_with(contract, "scratch"), shards.hash, work=lambda _: made)
    assert forget(began_with(contract, "champion"), "train") == ["train"]


def test_a_stage_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    result = polycast(tmp_path, "retrain", "nyc_weather", "--from", "training")
    assert result.returncode == 2
    assert f"--from training: expected one of {', '.join(STAGES)}" in result.stderr
