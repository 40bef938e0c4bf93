"""Predict: answer rows of a Parquet file by a version of a dataset's model, as a Parquet file.

In: a contract and a Request. Out: a Prediction, and the file that it names: the key, each target in
its unit, and what else was asked for, in the order of the rows. The file is there whole or not at
all. After a kill the same request goes on where it stopped, with the version that it began with.
Raises DataError for rows that cannot be read or, where they are to stop it, are not what the model
was made for; WrongRequest for what the version does not have.
"""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from data_contracts.contract import Contract
from tasks.addresses import shown
from tasks.chosen import chosen
from tasks.errors import DataError, WrongRequest
from tasks.orchestration import markdown, stage_task
from tasks.predict.answers import Answers
from tasks.predict.checks import unreadable
from tasks.predict.columns import Columns
from tasks.predict.filling import stand_ins
from tasks.predict.inputs import Inputs, open_inputs
from tasks.predict.model import Answering, answering
from tasks.predict.parts import Parts, quarantine_of
from tasks.predict.request import Invalid, Prediction, Request
from tasks.predict.work import Tally, answer_all
from tasks.records import Reason
from tasks.registry import exists
from tasks.storage import digest
from tasks.uses import using
from tasks.wording import rows_of

__all__ = ["Invalid", "Prediction", "Progress", "Request", "predict", "predict_rows"]

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""


def predict_rows(
    contract: Contract, request: Request, progress: Progress = lambda _done, _all: None
) -> Prediction:
    """Answer the rows of a request and write its output; return what came of it."""
    start = time.monotonic()
    parts = Parts(_checked(request.out))
    inputs = open_inputs(request.source)
    if parts.out.path in inputs.files:
        raise WrongRequest(f"{shown(request.out)} is one of the files to predict: name another")
    with parts.alone():
        version = _begun(contract, request, inputs, parts)
        answered = _answered(contract, version, request, inputs, parts, progress)
    if isinstance(answered, Exception):
        raise answered
    model, tally = answered
    return Prediction(
        dataset=contract.dataset,
        model=model.model,
        version=version,
        out=shown(request.out),
        rows=tally.read,
        written=tally.written,
        invalid=tally.invalid,
        reasons=_most_first(tally.reasons),
        quarantine=shown(quarantine_of(request.out)) if tally.read > tally.written else None,
        interval=request.interval,
        resumed=tally.resumed,
        seconds=time.monotonic() - start,
    )


def _checked(out: str) -> str:
    if not out.endswith(".parquet"):
        raise WrongRequest(f"expected an output named *.parquet, came {shown(out)}")
    return out


def _begun(contract: Contract, request: Request, inputs: Inputs, parts: Parts) -> str:
    """Return the version that answers: the one that the same request began with, if it was killed,
    and is there still."""
    model = contract.registered_model
    asked = digest([inputs.identity, model, request.version, request.interval, request.invalid])
    begun = parts.asked()
    if begun.get("asked") == asked and exists(model, begun["version"]):
        return begun["version"]
    version = chosen(model, request.version).version
    parts.begin({"asked": asked, "version": version})
    return version


def _answered(
    contract: Contract,
    version: str,
    request: Request,
    inputs: Inputs,
    parts: Parts,
    progress: Progress,
) -> "tuple[Answering, Tally] | DataError | WrongRequest":
    """Answer all rows and move the files into place.

    What would stop it again is returned, for there is nothing to take up then, and leaves nothing.
    """
    name = f"predict {parts.out.root}"
    with using(contract.registered_model, version, name, resumable=name):
        try:
            model = answering(contract, version)
            columns = _columns(model, request, inputs)
            about = _about(model, request)
            answers = Answers(columns, request.invalid)
            aside = quarantine_of(request.out)
            with TemporaryDirectory(prefix="polycast-before-") as folder:
                before = stand_ins(model, inputs, Path(folder))
                tally = answer_all(inputs, answers, parts, about, aside, before, progress)
        except (DataError, WrongRequest) as error:
            parts.clear()
            return error
        parts.clear()
        return model, tally


def _columns(model: Answering, request: Request, inputs: Inputs) -> Columns:
    """Return what is read and written. Raises DataError where a column cannot be read."""
    present = [c for c in model.needs if c in inputs.schema.names]
    first = next(inputs.blocks(present, 1), inputs.schema.empty_table().select(present))
    fitted = model.bundle.members[0].preprocessing
    wrong = unreadable(first, inputs.schema.names, model.needs, fitted)
    if wrong:
        raise DataError(
            f"{shown(request.source)} is not what {model.model} version {model.version} reads:\n"
            + "\n".join(f"  - {line}" for line in wrong)
        )
    return Columns(model, inputs.schema, request.interval, request.invalid)


def _about(model: Answering, request: Request) -> dict[str, str]:
    """Return what the output says of itself in its metadata."""
    return {
        "polycast.dataset": model.contract.dataset,
        "polycast.model": model.model,
        "polycast.version": model.version,
        "polycast.snapshot": model.snapshot,
        "polycast.interval": "" if request.interval is None else f"{request.interval:g}",
    }


def _most_first(reasons: Counter[str]) -> tuple[Reason, ...]:
    return tuple(Reason(expectation=words, rows=rows) for words, rows in reasons.most_common())


@stage_task
def predict(contract: Contract, request: Request) -> Prediction:
    """Predict rows, and show what came of it."""
    found = predict_rows(contract, request)
    markdown(contract.dataset, "prediction", prediction_markdown(found), found.summary)
    return found


def prediction_markdown(found: Prediction) -> str:
    """Return what came of a prediction as Markdown."""
    lines = [f"**{found.summary}**", "", f"`{Path(found.out).name}`: `{found.out}`"]
    if found.quarantine:
        lines.append(f"\nSet aside: `{found.quarantine}`")
    lines += ["", *(f"- {rows_of(r.rows)}: {r.expectation}" for r in found.reasons)]
    return "\n".join(lines)
