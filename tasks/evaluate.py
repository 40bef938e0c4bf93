"""Evaluate: candidate, champion, control and baselines on the same test rows, in units.

In: a contract, a Candidate and its Shards. Out: Scores with `predictions.parquet`. The models
see raw rows through the same bundle that is published, so what is scored is what will answer.
As of a day, the champion's place is taken by the newest version that is as old as that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.source import iso
from tasks.baselines import persistence, ridge, train_mean
from tasks.control import CONTROL, control_contract
from tasks.counting import count_broken
from tasks.database import columns, connect, literal
from tasks.errors import DataError
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.scores import errors
from tasks.learning.shards import read_shard
from tasks.learning.tables import numbers
from tasks.orchestration import stage_task, table
from tasks.records import Candidate, ConstraintCount, Score, Scores, Shards
from tasks.registry import Version, bundle_folder, opponent, opponent_as_of
from tasks.stage import Stage
from tasks.storage import root_storage

Values = NDArray[np.float64]
Model = Callable[[pa.Table], Values]


def read_test_rows(contract: Contract, rows: Path, splits: Path, fold: int) -> pa.Table:
    """Return the raw test rows of a fold with `_row`, in order."""
    names = columns(["_row", *contract.columns()])
    own = f"SELECT _row FROM read_parquet({literal(str(splits))}) WHERE fold_{fold} = 'test'"
    with connect([rows, splits]) as database:
        return database.sql(
            f"SELECT {names} FROM read_parquet({literal(str(rows))}) "
            f"WHERE _row IN ({own}) ORDER BY _row"
        ).to_arrow_table()


def baseline_models(contract: Contract, shards: Path, fold: int) -> dict[str, Model]:
    """Return the contract's baselines, fitted on a fold's train shard."""
    place = shards / f"fold_{fold}"
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    train = read_shard(place / "train.parquet")
    every: dict[str, Model] = {
        "mean": lambda rows: train_mean(fitted, rows),
        "persistence": lambda rows: persistence(contract, rows),
        "ridge": lambda rows: ridge(fitted, train, rows),
    }
    return {name: every[name] for name in contract.evaluation.baselines}


def bundle_model(folder: Path, targets: list[str]) -> Model:
    """Return the model in a bundle; NaN for targets that it does not predict."""
    from tasks.backends import backend

    backend()
    from tasks.learning.bundle import load_bundle

    bundle = load_bundle(folder)

    def predict(rows: pa.Table) -> Values:
        found = bundle.predict(rows)
        out = np.full((len(rows), len(targets)), np.nan)
        for i, target in enumerate(targets):
            if target in found.targets:
                out[:, i] = found.mean[:, found.targets.index(target)]
        return out

    return predict


def score_fold(
    contract: Contract, models: dict[str, Model], rows: pa.Table, fold: int
) -> tuple[list[Score], pa.Table]:
    """Return the scores of every model on a fold's test rows, and their predictions.

    Raises DataError where a target is observed in no test row that all can answer, and where
    the candidate has no answer to a row: it must not be scored on the others alone.
    """
    targets = list(contract.target_columns)
    weight = numbers(rows, contract.row_weight) if contract.row_weight else None
    truth = {t: numbers(rows, t) for t in targets}
    predicted = {name: model(rows) for name, model in models.items()}
    _answered(rows, predicted["candidate"])
    scores: list[Score] = []
    for i, target in enumerate(targets):
        if np.isnan(truth[target]).all():
            raise DataError(f"{target} is observed in no test row: no verdict can be reached")
        seen = {m: p[:, i] for m, p in predicted.items() if not np.isnan(p[:, i]).all()}
        scores += _score(fold, target, truth[target], seen, weight)
    return scores, _predictions(contract, rows, fold, truth, predicted)


def _answered(rows: pa.Table, answers: Values) -> None:
    lost = np.flatnonzero(~np.isfinite(answers).all(axis=1))
    if lost.size:
        raise DataError(
            f"the candidate has no finite answer to {lost.size:,} of {len(rows):,} test rows, "
            f"first to _row {rows.column('_row')[int(lost[0])]}: look for extreme values there, "
            "and give the features bounds"
        )


def _score(
    fold: int, target: str, truth: Values, predicted: dict[str, Values], weight: Values | None
) -> list[Score]:
    """Score one target on the rows where the truth is known and every model has an answer."""
    common = ~np.isnan(truth) & ~np.any([np.isnan(p) for p in predicted.values()], axis=0)
    if not (common & (True if weight is None else weight > 0)).any():
        raise DataError(
            f"no test row that counts has both {target} and an answer of each of "
            f"{', '.join(predicted)}: no verdict can be reached"
        )
    masked = np.where(common, truth, np.nan)
    found = {m: errors(masked, p, weight) for m, p in predicted.items()}
    baselines = [m for m in found if m not in ("candidate", "champion", CONTROL)]
    return [
        Score(
            fold=fold,
            model=model,
            target=target,
            rows=e.rows,
            mae=e.mae,
            rmse=e.rmse,
            r2=e.r2,
            skill={b: 1 - e.rmse / found[b].rmse for b in baselines if found[b].rmse > 0},
        )
        for model, e in found.items()
    ]


def _predictions(
    contract: Contract,
    rows: pa.Table,
    fold: int,
    truth: dict[str, Values],
    predicted: dict[str, Values],
) -> pa.Table:
    out: dict[str, Any] = {"_row": rows.column("_row"), "fold": np.full(len(rows), fold)}
    if contract.time:
        out["time"] = rows.column(contract.time)
    for i, (target, values) in enumerate(truth.items()):
        out[f"truth/{target}"] = pa.array(values, from_pandas=True)
        for model, answers in predicted.items():
            out[f"{model}/{target}"] = pa.array(answers[:, i], from_pandas=True)
    return pa.table(out)


def evaluate_candidate(
    contract: Contract, candidate: Candidate, champion: str | None, folder: Path
) -> Scores:
    """Score a candidate, the champion named, the control, the baselines; write predictions."""
    storage = root_storage()
    shards = candidate.shards
    data = storage.fetch(shards.place)
    rows = storage.fetch(shards.checked.snapshot.place) / "rows.parquet"
    targets = list(contract.target_columns)
    trained = storage.fetch(candidate.place)
    own = {"candidate": bundle_model(trained / "bundle", targets)}
    if control_contract(contract) is not None:
        own[CONTROL] = bundle_model(trained / "control", targets)
    note = ""
    if champion is not None:
        bundle = bundle_folder(contract.registered_model, champion)
        try:
            own["champion"] = bundle_model(bundle, targets)
        except ValueError as error:  # of another version of Polycast, or of a package that is gone
            note = f"version {champion} cannot be loaded: {error}"
    scores: list[Score] = []
    predictions = []
    broken: list[ConstraintCount] = []
    for fold in shards.folds:
        test = read_test_rows(contract, rows, data / "splits.parquet", fold.index)
        if "champion" in own:
            try:
                own["champion"](test.slice(0, 1))
            except ValueError as error:
                note = f"version {champion} cannot answer these rows: {error}"
                del own["champion"]
        models = own | baseline_models(contract, data, fold.index)
        found, answers = score_fold(contract, models, test, fold.index)
        scores += found
        broken += count_broken(contract, test, answers, models, fold.index)
        predictions.append(answers)
    pq.write_table(pa.concat_tables(predictions), folder / "predictions.parquet")
    return Scores(
        candidate=candidate,
        scores=tuple(scores),
        constraints=tuple(broken),
        champion=champion,
        champion_note=note,
        as_of=iso(contract.source.as_of) if contract.source.as_of else None,
    )


def metric_rows(contract: Contract, scores: Scores) -> list[dict[str, Any]]:
    """Return the metric table: a row a target and model, in the target's unit."""
    return [
        {
            "target": s.target,
            "unit": contract.target_columns[s.target].unit,
            "model": s.model,
            "MAE": round(s.mae, 4),
            "RMSE": round(s.rmse, 4),
            "R²": "undefined: the truth is constant" if s.r2 is None else round(s.r2, 4),
            **{f"skill against {b}": round(v, 4) for b, v in s.skill.items()},
            "rows": s.rows,
        }
        for s in scores.scores
    ]


def group_rows(contract: Contract, scores: Scores) -> list[dict[str, Any]]:
    """Return the scores of each target group and vector, model by model.

    Groups whose targets differ in unit have none: nothing is averaged over units.
    """
    rows = []
    for group, targets in contract.groups().items():
        units = {contract.target_columns[t].unit for t in targets}
        for model in scores.models if len(units) == 1 else ():
            found = {m: scores.of_group(model, targets, m) for m in ("mae", "rmse", "r2")}
            shown = {m.upper(): None if v is None else round(v, 4) for m, v in found.items()}
            rows.append({"group": group, "unit": min(units), "model": model, **shown})
    return rows


def _reads(contract: Contract) -> Any:
    return [
        contract.registered_model,
        contract.source.model_dump(mode="json", include={"as_of"}),
        list(contract.target_columns),
        contract.present_columns,
        contract.row_weight,
        contract.evaluation.model_dump(mode="json"),
        contract.time,
        [c.model_dump(mode="json", exclude={"enforce"}) for c in contract.constraints],
    ]


STAGE = Stage("evaluate", "scores", Scores, __name__, _reads)


def find(contract: Contract, candidate: Candidate) -> Scores | None:
    """Return the finished scores of a candidate against today's opponent, or None."""
    return STAGE.find(contract, *_inputs(candidate, _rival(contract, candidate)))


def _rival(contract: Contract, candidate: Candidate) -> Version | None:
    """Return the registered version to compare with: today's champion, or that of its day."""
    as_of = contract.source.as_of
    if as_of is None:
        return opponent(contract.registered_model, candidate.hash)
    return opponent_as_of(contract.registered_model, candidate.hash, contract.dataset, as_of)


def _inputs(candidate: Candidate, rival: Version | None) -> tuple[str, str]:
    """Return what the stage's key covers: the candidate and whom it is compared with."""
    return candidate.hash, rival.identity if rival else ""


def compare(contract: Contract, candidate: Candidate) -> Scores:
    """Return the scores of a candidate against today's opponent, finished or made now."""
    rival = _rival(contract, candidate)
    champion = rival.version if rival else None
    return STAGE.run(
        contract,
        *_inputs(candidate, rival),
        work=lambda folder: evaluate_candidate(contract, candidate, champion, folder),
    )


@stage_task
def evaluate(contract: Contract, candidate: Candidate, shards: Shards) -> Scores:
    """Score the candidate beside champion and baselines, and show the table."""
    if candidate.shards.hash != shards.hash:
        raise ValueError("the candidate was trained on other shards than these")
    scores = compare(contract, candidate)
    table(contract.dataset, "metrics", metric_rows(contract, scores), "Errors on the test rows")
    groups = group_rows(contract, scores)
    if groups:
        table(contract.dataset, "groups", groups, "Errors of target groups on the test rows")
    return scores
