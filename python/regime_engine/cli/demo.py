import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regime_engine.cli.audit import print_verdicts
from regime_engine.cli.options import DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS, quiet_option
from regime_engine.cli.output import last_regime, rows_written, say, table
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.demo import FIRST_DATE, PRICE_FILES, REGIONS
from regime_engine.series import Series

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.engine.classify import Outcome

# A command → what it is for
NEXT_COMMANDS = {
    "report": "write regime-report.html, and open it in a browser",
    "explain --region US --as-of 2008-10-10": "why that day is a CRISIS",
    "history --region US --start 2008-09-15 --end 2008-10-15": "labels, day by day",
    "status": "prices, series and runs",
    "db psql": "ask in SQL; docs/auditor.md has questions",
}


@click.command()
@quiet_option
@click.pass_obj
def demo(settings: Settings, quiet: bool) -> None:
    """Load, label and audit the bundled prices of two indexes, 1999 to 2018.

    The indexes are the S&P 500 and the NASDAQ Composite. The demo writes to the database that is
    set; `make demo` uses the embedded one. If you run it again, no row changes.
    """
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    all_series = [Series(region, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS) for region in REGIONS]
    with Phases(quiet) as phases, connect(settings) as database:
        _load(database, phases)
        for series in all_series:
            _fit(database, series, phases)
        outcomes = [_classify(database, series, phases) for series in all_series]
        audited = nightly.audit(database, progress=phases.begin("auditing"))
        phases.end()
        passed = print_verdicts(*audited)
        _print_regimes(database, all_series)
    for outcome in outcomes:
        say(last_regime(outcome))
    say("\nNext:")
    width = max(map(len, NEXT_COMMANDS))
    for command, purpose in NEXT_COMMANDS.items():
        say(f"  {_program()} {command:<{width}}  # {purpose}")
    if not passed:
        sys.exit(1)


def _load(database: "Database", phases: Phases) -> None:
    from regime_engine.engine import nightly
    from regime_engine.prices.load import load_prices

    info = database.connection.info
    say(f"Postgres {info.server_version // 10000}: database {info.dbname} at {info.host}")
    for path in PRICE_FILES:
        loaded = load_prices(database, path)
        say(f"Prices: {path.name}, {loaded.rows:,} rows, {loaded.inserted:,} new")
    nightly.build_features(database, phases.begin("building the features"))
    phases.end()
    say("dbt: staging, daily_features and the engine's tables are built and tested")


def _fit(database: "Database", series: Series, phases: Phases) -> None:
    from regime_engine.engine import fit

    versions = fit.walk_forward(
        database,
        series,
        fit.Recipe(),
        fit.WalkForward(),
        start=FIRST_DATE,
        progress=phases.begin(f"fitting {series.region}"),
    )
    phases.end()
    say(
        f"Models: {series.region}, {len(versions)} versions, one every half-year from "
        f"{versions[0].valid_from}, each trained on the days before it"
    )


def _classify(database: "Database", series: Series, phases: Phases) -> "Outcome":
    from regime_engine.engine import classify

    classifying = phases.begin(f"classifying {series.region}")
    outcome = classify.backfill(database, series, start=FIRST_DATE, progress=classifying)
    phases.end()
    say(
        f"Regimes: {series.region}, {outcome.n_windows:,} days from {outcome.first} to "
        f"{outcome.last}; {rows_written(outcome.written)}"
    )
    return outcome


def _print_regimes(database: "Database", all_series: list[Series]) -> None:
    from regime_engine.reading import tables

    for series in all_series:
        by_year = tables.days_by_year(database, series)
        say(f"\nDays of {series.region} by label:\n")
        say(table(by_year.headers, by_year.rows))
    last = tables.transitions(database, all_series[0], limit=5)
    say(f"\nThe last transitions of {all_series[0].region}:\n")
    say(table(last.headers, last.rows) + "\n")


def _program() -> str:
    """What to type for this command: it need not be in the PATH."""
    if shutil.which("regime"):
        return "regime"
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m regime_engine"
    return os.path.relpath(program)
