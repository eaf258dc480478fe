import sys
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import POSITIVE
from regime_engine.cli.output import dates_written, say, table
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.engine.forget import Asked, Plan


@click.command()
@click.option("--region", help="Remove what is stored of this region.")
@click.option("--instrument-id", help="Remove this instrument, and all that rests on it.")
@click.option("--model-id", help="Only what is of this encoder.  [default: all]")
@click.option(
    "--window-days", type=POSITIVE, help="Only what is of this window length.  [default: all]"
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(
    settings: Settings,
    region: str | None,
    instrument_id: str | None,
    model_id: str | None,
    window_days: int | None,
    yes: bool,
) -> None:
    """Remove a series, or a wrongly loaded instrument with all that rests on it.

    The command shows how many rows of each table it would remove, and asks. Then it removes them in
    one transaction. The run in regime_runs counts what it removed, in rows_removed. The runs that
    had written the rows stay.

    With --region it removes the regimes, transitions, models and revisions of the region, and the
    embeddings that were written for it alone. The region itself stays (`regime region remove`).

    With --instrument-id it also removes the instrument's prices, refused prices, features and
    embeddings, and every series that has a model trained on it. With --model-id or --window-days
    the prices and features stay. If the removed regimes had a vote in GLOBAL, the others vote anew.

    \b
    regime forget --region US_TECH --yes
    """
    if bool(region) == bool(instrument_id):
        raise click.UsageError("give either --region or --instrument-id")
    from regime_engine.database import connect
    from regime_engine.engine import forget as engine

    asked = engine.Asked(region, instrument_id, model_id, window_days)
    with connect(settings) as database:
        planned = engine.plan(database, asked)
        counts = engine.count(database, planned)
        if not counts:
            engine.require_known(database, asked)
            say(f"nothing is stored of {asked}")
            return
        _show(planned, counts)
        _require_consent(asked, yes)
        done = engine.forget(database, planned)
        removed = ", ".join(f"{number:,} {name}" for name, number in done.removed.items())
        say(f"removed: {removed}")
        for outcome in done.votes:
            say(f"{outcome.series} voted anew: {dates_written(outcome)}")
        for series in planned.part:
            say(
                f"note: `regime backfill --region {series.region} --model-id {series.model_id} "
                f"--window-days {series.window_days}` classifies the days that the series lost",
                err=True,
            )
        _print_regions_left(database, asked)


def _show(planned: "Plan", counts: dict[str, int]) -> None:
    say(f"To remove of {planned.asked}:\n")
    say(table(["rows of", "rows"], list(counts.items())))
    for title, series in (
        ("These series go as a whole", planned.whole),
        ("These lose the regimes of the instrument", planned.part),
        ("The regions that are left vote anew for", planned.voted),
    ):
        if series:
            say(f"\n{title}: {', '.join(map(str, series))}")
    say()


def _require_consent(asked: "Asked", yes: bool) -> None:
    """raises RegimeError if nobody says yes"""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RegimeError(f"nothing is removed of {asked}: there is no terminal to ask; give --yes")
    if not click.confirm("Remove these rows?", err=True):
        raise RegimeError("nothing is removed")


def _print_regions_left(database: "Database", asked: "Asked") -> None:
    from regime_engine import seeds

    for region in seeds.regions(database).values():
        if asked.region == region.region or asked.instrument_id == region.instrument_id:
            say(
                f"note: {region.region} is still a region, and stands for {region.instrument_id}; "
                f"`regime region remove {region.region}` removes it",
                err=True,
            )
