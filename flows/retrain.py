"""The retrain flow: from a contract to a published champion, one line per stage."""

import logging
from datetime import date

from prefect import tags
from prefect.runtime import flow_run

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from flows.again import forget
from flows.form import answered, ask
from flows.handover import stop_training, train, train_rival
from flows.names import Stage, changes, dataset_name, run_name
from flows.outcome import told
from flows.tuning import tuned
from flows.turn import turn
from flows.worker import join_worker
from tasks.approvals import rejected, settle
from tasks.contracts import read_contract
from tasks.evaluate import evaluate
from tasks.formats.installed import check_installed
from tasks.ingest import ingest
from tasks.journal import ChampionMoved, mend
from tasks.judge import judge
from tasks.preprocess import preprocess
from tasks.publish import publish
from tasks.records import Candidate, Run, Verdict
from tasks.report import report
from tasks.validate import validate

ROUNDS = 10
"""How often a candidate is judged, at most, while the champion moves."""
log = logging.getLogger("polycast")


def _name() -> str:
    return run_name(dataset_name(flow_run.parameters), flow_run.parameters.get("as_of"))


@told(name="retrain", flow_run_name=_name, on_cancellation=[stop_training])
def retrain(
    dataset: str,
    overrides: list[str] = [],  # noqa: B006  # shown in the form, and never changed
    as_of: date | None = None,
    from_stage: Stage | None = None,
    rebaseline: str | None = None,
) -> Run:
    """Retrain a dataset and publish the new model when the gate lets it pass.

    Args:
        dataset: The name of a contract, or the path of a contract's YAML file.
        overrides: Changes to the contract for this run, such as recipe.epochs=5.
        as_of: Retrain as if on this day: rows from then on are left out, and the champion stays.
        from_stage: Do this stage and all later ones again, though nothing has changed.
        rebaseline: Why the champion is not compared with: a new start, recorded with the version.
    """
    join_worker()
    waited = answered()
    asked = changes(overrides, as_of, rebaseline)
    contract = read_contract(waited.place) if waited else load_contract(dataset, asked)
    check_installed(contract.publishing.formats)
    with tags(contract.dataset, *contract.tags), turn(contract):
        if waited:
            return decided(contract, waited)
        if from_stage and (flow_run.run_count or 1) == 1:  # not again after a crash
            forget(contract, from_stage)
        return _stages(contract)


def _stages(contract: Contract) -> Run:
    snapshot = ingest(contract)
    checked = validate(contract, snapshot)
    shards = preprocess(contract, checked)
    contract = tuned(contract, shards)
    return ask(contract, _judged_and_published(contract, train(contract, shards)))


def _judged_and_published(contract: Contract, candidate: Candidate) -> Run:
    """Judge a candidate and publish it; where the champion has moved, judge it by the new one.

    Raises ChampionMoved when it moves all the time.
    """
    for _ in range(ROUNDS):
        verdict = _judged(contract, candidate)
        try:
            return _published(contract, verdict)
        except ChampionMoved as error:
            moved = str(error)
            news = {"stage": "publish", "state": "moved", "summary": moved, "seconds": None}
            log.warning("judged again: %s", moved, extra=news)
    raise ChampionMoved(f"{moved}. It has moved {ROUNDS} times while this candidate was judged")


def _judged(contract: Contract, candidate: Candidate) -> Verdict:
    mend(contract.registered_model)
    rival = train_rival(contract, candidate)
    scores = evaluate(contract, candidate, candidate.shards, rival)
    verdict = judge(contract, scores)
    return settle(contract, verdict)


def _published(contract: Contract, verdict: Verdict) -> Run:
    publication = publish(contract, verdict.scores.candidate, verdict)
    return report(contract, publication)


def decided(contract: Contract, waited: Run) -> Run:
    """Carry out what was decided of a run that waited, though newer rows may have come since.

    Where the champion has moved, a candidate that was approved is judged again, and asked about.
    """
    verdict = waited.publication.verdict
    if rejected(contract, verdict):
        run = _published(contract, settle(contract, verdict))
    else:
        run = _judged_and_published(contract, verdict.scores.candidate)
    return ask(contract, run, waited)
