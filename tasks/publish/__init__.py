"""Publish: record the verdict in MLflow and, where it passes, make the candidate champion.

In: a contract, a Candidate and its Verdict. Out: a Publication. Every step looks whether it has
been done already, so a run that was killed goes on where it stopped; the alias `champion` moves
last, and only to a version whose files are all there and which has passed its proof (proof.py).
One that fails it is kept with the reason, and the champion stays. A candidate made as of a day is
kept as a version too, so that history can be loaded; no alias ever moves for one. The verdict with
all its numbers, and with who approved it, lies beside the model (`verdict.json`) for as long as it
does.
Raises ChampionMoved when another run became champion since the candidate was compared.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from data_contracts.recipes.brought import brought_by
from tasks import journal, registry
from tasks.journal import ChampionMoved as ChampionMoved
from tasks.orchestration import markdown, stage_task
from tasks.publish.clean_process import Unproved
from tasks.publish.earlier import earlier
from tasks.publish.kept import keep
from tasks.publish.model_card import description, model_card
from tasks.publish.proof import Proving, proving
from tasks.publish.tags import LONGEST, decision_tags, version_tags
from tasks.publish.tracking import track
from tasks.records import Candidate, Held, Proof, Publication, Verdict
from tasks.registry import Version
from tasks.stage import Stage
from tasks.storage import Storage, root_storage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models.model import ModelInfo

    from tasks.learning.bundle import Bundle

REQUIREMENTS = ("keras", "tensorflow", "numpy", "pyarrow", "pandas", "mlflow")


def publish_verdict(contract: Contract, candidate: Candidate, verdict: Verdict) -> Publication:
    """Record the verdict in MLflow; on pass register and prove a version, and move the alias."""
    storage = root_storage()
    client = registry.client()
    run = track(contract, verdict, storage, client)
    made = Publication(
        verdict=verdict, model=contract.registered_model, version=None, tracking_run=run
    )
    if verdict.outcome != "pass":
        return made
    found = _version(contract, verdict, storage, client, run)
    if (why := found.tags.get(registry.HELD_TAG)) is not None:
        return made.model_copy(update={"held": Held(version=found.version, reason=why)})
    number = found.version
    if verdict.scores.as_of is None:
        number = _move_champion(contract, verdict, number)
    return made.model_copy(update={"version": number, "proofs": _proofs(found)})


def _version(
    contract: Contract, verdict: Verdict, storage: Storage, client: "MlflowClient", run: str
) -> Version:
    """Return the candidate's complete registered version; it is made and proved where there is
    none."""
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
        return found
    from tasks.learning.bundle import load_bundle

    with proving(contract.publishing.formats) as clean:
        bundle = load_bundle(storage.fetch(verdict.scores.candidate.place) / registry.BUNDLE)
        number = _registered(contract, verdict, bundle, storage, client, run)
        proved = _proved(contract, verdict, number, bundle, storage, clean)
    for tag, value in proved.items():
        client.set_model_version_tag(model, number, tag, value)
    client.set_model_version_tag(model, number, registry.COMPLETE_TAG, "true")
    return Version(model, number, proved)


def _registered(
    contract: Contract,
    verdict: Verdict,
    bundle: "Bundle",
    storage: Storage,
    client: "MlflowClient",
    run: str,
) -> str:
    """Register a version with all its files, and return its number."""
    card = model_card(contract, verdict, storage)
    logged = _log_model(contract, verdict, bundle, storage, run, card)
    # A server with users takes a model as a source from whoever names the model too.
    made = client.create_model_version(
        contract.registered_model,
        logged.model_uri,
        run_id=run,
        tags=version_tags(contract, verdict, storage),
        model_id=logged.model_id,
        description=description(card),
    )
    return str(made.version)


def _proved(
    contract: Contract,
    verdict: Verdict,
    number: str,
    bundle: "Bundle",
    storage: Storage,
    clean: Proving,
) -> dict[str, str]:
    """Return the tags of what the proof of a version found: measurements, or why it is held."""
    from tasks.publish.sample import sample

    candidate = verdict.scores.candidate
    folder = registry.version_folder(contract.registered_model, number)
    try:
        proofs = clean.prove(folder, bundle, sample(candidate, bundle, storage))
    except Unproved as fault:
        return {registry.HELD_TAG: str(fault)[:LONGEST]}
    return {
        registry.PROOF_TAG + proof.format: proof.model_dump_json(exclude={"place", "hash"})
        for proof in proofs
    }


def _proofs(found: Version) -> tuple[Proof, ...]:
    """Return what the proof of a version measured; nothing of a version from before there were
    proofs."""
    told = [v for tag, v in found.tags.items() if tag.startswith(registry.PROOF_TAG)]
    return tuple(Proof.model_validate(json.loads(text)) for text in told)


def _log_model(
    contract: Contract,
    verdict: Verdict,
    bundle: "Bundle",
    storage: Storage,
    run: str,
    card: str,
) -> "ModelInfo":
    """Log the bundle as an MLflow model made from code, with all that is kept beside it; return
    its address and id."""
    import mlflow

    from tasks.publish.signature import input_example, signature

    candidate = verdict.scores.candidate
    rows = storage.fetch(candidate.shards.checked.snapshot.place) / "rows.parquet"
    with tempfile.TemporaryDirectory(prefix="polycast-") as folder, mlflow.start_run(run):
        kept, code = Path(folder) / "kept", Path(folder) / "code"
        kept.mkdir()
        keep(contract, verdict, card, bundle, storage, kept)
        logged: ModelInfo = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={file.name: str(file) for file in kept.iterdir()},
            code_paths=[str(_learning_code(code))],
            signature=signature(contract),
            input_example=input_example(contract, rows),
            pip_requirements=_requirements(contract),
        )
    return logged


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
    if publication.held is not None:
        return f"**Nothing was published**; the champion stays.\n\n{publication.summary}"
    if publication.version is None:
        yet = " yet" if publication.outcome == "waiting" else ""
        return f"**Nothing was published{yet}**; the champion stays.\n\n{publication.summary}"
    kept = publication.as_of is not None
    name = f"{publication.model}/{publication.version}" if kept else f"{publication.model}@champion"
    load = f'model = mlflow.pyfunc.load_model("models:/{name}")'
    text = f"**{publication.summary}**\n\n```python\n{load}\nmodel.predict(rows)\n```\n\n"
    return text + proof_markdown(publication.proofs)


def proof_markdown(proofs: Sequence[Proof]) -> str:
    """Return what the proof measured, a line a format."""
    lines = ["| model | size | memory | loaded in | 1 row | 10,000 rows |", "| --- " * 6 + "|"]
    for proof in proofs:
        times = (proof.milliseconds.get(f"p50/{rows}", 0.0) for rows in (1, 10_000))
        cells = [f"{proof.megabytes:.1f} MB", f"{proof.memory:,.0f} MB"]
        cells += [f"{proof.load_seconds:.1f} s", *(f"{t:.1f} ms" for t in times)]
        lines.append(f"| {proof.format} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if proofs else ""
