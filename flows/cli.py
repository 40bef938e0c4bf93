"""The command line. Everything dear is imported where it is used: `--help` is instant."""

import gc

import typer

from flows.commands import (
    drafting,
    looking,
    predicting,
    retraining,
    services,
    serving,
    setting_aside,
    tuning,
    versions,
    watching,
)

app = typer.Typer(
    name="polycast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Retrain models that predict many numbers at once, and publish only what is no worse.

    A dataset is one YAML contract in ./data_contracts. State lies in .polycast/, or where
    POLYCAST_HOME says: a folder or an address such as s3://bucket/prefix. Runs report to the
    Prefect server of PREFECT_API_URL, to that of `polycast up`, or to a temporary one;
    models go to MLFLOW_TRACKING_URI, or to SQLite under .polycast/.

    Start with `polycast retrain nyc_weather`.""",
    epilog="""Exit codes: 0 published, or already up to date · 1 a fault · 2 wrong usage or
    contract · 3 blocked by the gate · 4 data missing, unreadable or in breach of the contract ·
    5 waits for approval.""",
)

for command in (
    retraining.retrain,
    retraining.train,
    retraining.approve,
    retraining.reject,
    retraining.check,
    tuning.tune,
    drafting.init,
    predicting.predict,
    versions.models,
    versions.promote,
    versions.rollback,
    versions.diff,
    versions.reproduce,
    versions.prune,
    watching.monitor,
    looking.contracts,
    looking.recipes,
    looking.show,
    looking.schema,
    serving.serve,
    services.up,
    services.doctor,
    services.deploy,
):
    app.command()(command)
app.add_typer(setting_aside.quarantine, name="quarantine")


def main() -> None:
    """Run the command line."""
    # Imports make a million objects that stay: looking through them for garbage every 700 that
    # are new is a quarter of the time that imports take.
    gc.set_threshold(5_000)
    app()


if __name__ == "__main__":
    main()
