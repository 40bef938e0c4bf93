"""The tables that Prefect shows of scores: errors, groups, distributions, worst slices."""

from typing import Any

from data_contracts.contract import Contract
from tasks.records import Scores


def metric_rows(contract: Contract, scores: Scores) -> list[dict[str, Any]]:
    """Return the metric table: a row a target and model, in the target's unit."""
    return [
        {
            "target": s.target,
            "unit": contract.target_columns[s.target].unit,
            "model": s.model,
            "MAE": round(s.mae, 4),
            "RMSE": round(s.rmse, 4),
            "R²": f"undefined: {s.r2_note}" if s.r2 is None else round(s.r2, 4),
            "bias": round(s.bias, 4),
            "max error": round(s.max_error, 4),
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


def distribution_rows(contract: Contract, scores: Scores) -> list[dict[str, Any]]:
    """Return how well distributions and intervals fit: a row a target and model that has them.

    With the joint scores of all targets, in scaled units, as rows of the target `all`.
    """
    rows: list[dict[str, Any]] = []
    for s in scores.scores:
        own = s.distribution
        if own is None or not (own.levels or own.pit):
            continue
        row: dict[str, Any] = {"target": s.target, "unit": contract.target_columns[s.target].unit}
        row |= {"model": s.model, "CRPS": round(own.crps, 4)}
        for level, inside, width in zip(own.levels, own.coverage, own.width, strict=True):
            row[f"inside {level:.0%}"] = f"{inside:.1%}, {width:.4g} wide"
        if own.calibration_error is not None:
            row["calibration error"] = f"{own.calibration_error:.1%}"
        rows.append(row)
    for j in scores.joint:
        row = {"target": "all", "unit": "", "model": j.model}
        row["energy score"] = round(j.energy, 4)
        for level, inside in zip(j.levels, j.coverage, strict=True):
            row[f"inside {level:.0%}"] = f"{inside:.1%}"
        rows.append(row)
    return rows


def slice_rows(contract: Contract, scores: Scores) -> list[dict[str, Any]]:
    """Return the slices in which the candidate is surely worse than on the whole, worst first."""
    return [
        {
            "slice": s.slice,
            "target": s.target,
            "unit": contract.target_columns[s.target].unit,
            "RMSE": round(s.rmse, 4),
            "times the whole's": round(s.ratio, 3),
            "at least": round(s.low, 3),
            "rows": s.rows,
            **{f"RMSE of {model}": round(v, 4) for model, v in s.others.items()},
        }
        for s in scores.worst
    ]
