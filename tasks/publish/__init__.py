"""Publish: record the verdict in MLflow and, where it passes, make the candidate champion.

In: a contract, a Candidate and its Verdict. Out: a Publication. Every step looks whether it has
been done already, so a run that was killed goes on where it stopped; the alias `champion` moves
last, and only to a version whose files are all there. A candidate made as of a day is kept as a
version too, so that history can be loaded; no alias ever moves for one. The verdict with all its
numbers, and with who approved it, lies beside the model (`verdict.json`) for as long as it does.
Raises ChampionMoved when another run became champion since the candidate was compared.
"""

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from data_contracts.recipes.brought import brought_by
from tasks import journal, registry
from tasks.journal import ChampionMoved as ChampionMoved
from tasks.orchestration import markdown, stage_task
from tasks.publish.earlier import earlier
from tasks.publish.model_card import description, model_card
from tasks.publish.tags import decision_tags, version_tags
from tasks.publish.tracking import track
from tasks.records import Candidate, Publication, Verdict
from tasks.stage import Stage
from tasks.storage import Storage, root_storage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models.model import ModelInfo

REQUIREMENTS = ("keras", "tensorflow", "numpy", "pyarrow", "pandas", "mlflow")


def publish_verdict(contract: Contract, candidate: Candidate, verdict: Verdict) -> Publication:
    """Record the verdict in MLflow; on pass register a version and, now, move the alias."""
    storage = root_storage()
    client = registry.client()
    run = track(contract, verdict, storage, client)
    number = None
    if verdict.outcome == "pass":
        number = _version(contract, candidate, verdict, storage, client, run)
        if verdict.scores.as_of is None:
            number = _move_champion(contract, verdict, number)
    return Publication(
        verdict=verdict, model=contract.registered_model, version=number, tracking_run=run
    )


def _version(
    contract: Contract,
    candidate: Candidate,
    verdict: Verdict,
    storage: Storage,
    client: "MlflowClient",
    run: str,
) -> str:
    """Return the candidate's complete registered version; it is made where there is none."""
    from mlflow.exceptions import MlflowException

    model = contract.registered_model
    try:
        client.create_registered_model(model, description=contract.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if (found := earlier(contract, verdict, client)) is not None:
        for tag, value in decision_tags(verdict).items():
            client.set_model_version_tag(model, found.version, tag, value)
        return found.version
    tags = version_tags(contract, verdict, storage)
    card = model_card(contract, verdict, storage)
    logged = _log_model(contract, verdict, storage, run, card)
    # A server with users takes a model as a source from whoever names the model too.
    made = client.create_model_version(
        model,
        logged.model_uri,
        run_id=run,
        tags=tags,
        model_id=logged.model_id,
        description=description(card),
    )
    client.set_model_version_tag(model, str(made.version), registry.COMPLETE_TAG, "true")
    return str(made.version)


def _log_model(
    contract: Contract, verdict: Verdict, storage: Storage, run: str, card: str
) -> "ModelInfo":
    """Log the bundle as an MLflow model made from code, with all that is kept beside it; return
    its address and id."""
    import mlflow

    from tasks.publish.signature import input_example, signature

    candidate = verdict.scores.candidate
    rows = storage.fetch(candidate.shards.checked.snapshot.place) / "rows.parquet"
    trained = storage.fetch(candidate.place)
    with tempfile.TemporaryDirectory(prefix="polycast-") as folder, mlflow.start_run(run):
        logged: ModelInfo = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts=_kept(contract, verdict, card, trained, Path(folder)),
            code_paths=[str(_learning_code(Path(folder)))],
            signature=signature(contract),
            input_example=input_example(contract, rows),
            pip_requirements=_requirements(contract),
        )
    return logged


def _kept(
    contract: Contract, verdict: Verdict, card: str, trained: Path, folder: Path
) -> dict[str, str]:
    """Return the files of a version by name; those that are not there yet go into `folder`."""
    texts = {
        registry.CONTRACT: contract.model_dump_json(indent=1),
        registry.VERDICT: verdict.model_dump_json(indent=1),
        "model_card.md": card,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    files = [trained / registry.BUNDLE, trained / registry.SEEN, *(folder / n for n in texts)]
    return {file.name: str(file) for file in files}


def _requirements(contract: Contract) -> list[str]:
    """Return what must be installed where the model is loaded, with exact versions."""
    brought = brought_by(contract.recipe.architecture)
    return [f"{name}=={version(name)}" for name in REQUIREMENTS] + ([brought] if brought else [])


def _learning_code(folder: Path) -> Path:
    """Copy the numeric core, and nothing else of ours, to where MLflow packs it from."""
    tasks = Path(__file__).parents[1]
    target = folder / "tasks"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tasks / "learning", target / "learning", ignore=ignore)
    shutil.copy(tasks / "__init__.py", target / "__init__.py")
    return target


def _move_champion(contract: Contract, verdict: Verdict, number: str) -> str:
    """Make a version champion, unless another one is than it was compared with; return the
    champion's number: another process may have published the same candidate meanwhile."""
    model, approval = contract.registered_model, verdict.approval
    current = registry.champion(model)
    candidate = verdict.scores.candidate.hash
    if current is not None and current.tags.get(registry.CANDIDATE_TAG) == candidate:
        return current.version
    made = journal.move(
        model,
        number,
        before=verdict.scores.champion,
        kind="publish",
        by=approval.by if approval else f"retrain of {contract.dataset}",
        reason=verdict.summary,
    )
    return made.version


def _reads(contract: Contract) -> Any:
    return [contract.registered_model]


STAGE = Stage("publish", "publications", Publication, __name__, _reads)


def stands(publication: Publication) -> bool:
    """Say whether the registry still is as the publication left it."""
    if publication.version is None:
        return True
    if publication.as_of is not None:
        return registry.exists(publication.model, publication.version)
    current = registry.champion(publication.model)
    return current is not None and current.version == publication.version


@stage_task
def publish(contract: Contract, candidate: Candidate, verdict: Verdict) -> Publication:
    """Publish a passed candidate; record a failed one."""
    publication = STAGE.run(
        contract,
        verdict.hash,
        work=lambda _folder: publish_verdict(contract, candidate, verdict),
        holds=stands,
    )
    text = publication_markdown(publication)
    markdown(contract.dataset, "publication", text, publication.summary)
    if publication.version is not None:
        card = model_card(contract, verdict, root_storage())
        markdown(contract.dataset, "model-card", card, "What the version is, and its limits")
    return publication


def publication_markdown(publication: Publication) -> str:
    """Return what became of the candidate, and how a published model is loaded."""
    if publication.version is None:
        yet = " yet" if publication.outcome == "waiting" else ""
        return f"**Nothing was published{yet}**; the champion stays.\n\n{publication.summary}"
    kept = publication.as_of is not None
    name = f"{publication.model}/{publication.version}" if kept else f"{publication.model}@champion"
    load = f'model = mlflow.pyfunc.load_model("models:/{name}")'
    return f"**{publication.summary}**\n\n```python\n{load}\nmodel.predict(rows)\n```"
