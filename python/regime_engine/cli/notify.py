import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import day, format_option, period, quiet_option
from regime_engine.cli.output import print_rows, say
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.notify.channels import Channel
    from regime_engine.notify.delivery import Delivery

SINCE = timedelta(days=7)
# The columns of the table; JSON and CSV have all of them.
SHOWN = ("channel", "status", "kind", "as_of_date", "title", "error")


def _since(text: str) -> date | timedelta:
    """A day, or how long ago: the type of an option."""
    return timedelta(days=period("d", longest=36500)(text)) if text.endswith("d") else day(text)


@click.command()
@click.option(
    "--since",
    type=_since,
    metavar="DATE|Nd",
    help="Do not send what is of an earlier day, or of more than N days ago: record it as "
    "suppressed.  [default: 7d]",
)
@click.option("--now", "is_now", is_flag=True, help="Also try what is to wait after a failure.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send and store nothing.")
@click.option("--test", "is_test", is_flag=True, help="Send a test to each channel; store nothing.")
@click.option("--give-up", metavar="CHANNEL", help="Never send what waits for this channel.")
@format_option
@quiet_option
@click.pass_obj
def notify(
    settings: Settings,
    since: date | timedelta | None,
    is_now: bool,
    dry_run: bool,
    is_test: bool,
    give_up: str | None,
    output_format: str,
    quiet: bool,
) -> None:
    """Tell people what changed: each transition of a region, and each day on which a region is
    stale, a run or an audit failed, or a window is very unusual.

    Each goes once to each channel. A variable REGIME_NOTIFY_<NAME> configures a channel: a webhook,
    mail, the NOTIFY of Postgres, or a program. If a channel is down, later calls try again, after a
    minute at first and after six hours at last; so call the command every few minutes. The exit
    code is 1 if something still waits or a channel cannot be used.

    \b
    REGIME_NOTIFY_DESK=https://hooks.example.com/desk regime notify --dry-run
    """
    if sum((dry_run, is_test, give_up is not None)) > 1:
        raise click.UsageError("give only one of --dry-run, --test and --give-up")
    from regime_engine.database import connect
    from regime_engine.notify import delivery, outbox

    if give_up is not None:
        with connect(settings) as database:
            number = outbox.give_up(database, give_up)
        say(f"{give_up}: {number:,} will not be sent")
        return
    channels, faults = _channels()
    left: dict[str, str] = {}
    with Phases(quiet) as phases, connect(settings) as database:
        if is_test:
            faults += _test(database, channels, phases)
        else:
            first = _first_day(outbox.today(database), since)
            if dry_run:
                suppressed, dealt = delivery.would_send(database, channels, first, is_now)
            else:
                suppressed = delivery.plan(database, channels, first)
                dealt = list(delivery.send(database, channels, is_now, phases.begin))
            phases.end()
            _say_suppressed(suppressed, first)
            _print(dealt, output_format, quiet)
            left = {} if dry_run else _left(database, channels, quiet)
            # Cron mails what is printed: of a channel that is down, only when it was tried.
            tried = {each.channel for each in dealt}
            faults += [fault for name, fault in left.items() if name in tried or not quiet]
    for fault in faults:
        say(f"Error: {fault}", err=True)
    if faults or left:
        sys.exit(1)


def _first_day(today: date, since: date | timedelta | None) -> date:
    """raises RegimeError for a day to come, since what happens until then would never be sent"""
    if isinstance(since, date) and since > today:
        raise RegimeError(f"--since {since} is after today, {today}: give a day that has come")
    return since if isinstance(since, date) else today - (since or SINCE)


@contextlib.contextmanager
def telling(database: "Database", phases: Phases, is_wanted: bool) -> Iterator[None]:
    """Around the nightly job: afterwards people are told, also of an error that ended it.

    Whatever happens here is a warning, and the job ends as it would have without it.
    """
    if not is_wanted:
        yield
        return
    from regime_engine.database import explain

    try:
        channels, faults = _channels()
    except RegimeError as error:
        channels, faults = [], [str(error)]
    _warn(faults)
    try:
        yield
    except Exception as error:
        reason = explain(error) or str(error) or type(error).__name__
        _tell(database, phases, channels, reason)
        raise
    _tell(database, phases, channels)
    _warn(faults)


def _tell(
    database: "Database", phases: Phases, channels: "Sequence[Channel]", error: str | None = None
) -> None:
    """Tell people what changed. error: what ended the nightly job"""
    from psycopg import Error

    from regime_engine.database import explain
    from regime_engine.notify import delivery, outbox

    try:
        if error is not None:
            outbox.add(database, [outbox.failed_pipeline(database, error)])
        delivery.plan(database, channels, outbox.today(database) - SINCE)
        dealt = list(delivery.send(database, channels, progress=phases.begin))
        phases.end()
        for channel, number in Counter(
            each.channel for each in dealt if each.status == "DELIVERED"
        ).items():
            say(f"notified {channel}: {number:,} sent")
        _warn(list(_left(database, channels).values()))
    except (RegimeError, Error) as failure:
        _warn([f"not everybody is notified: {explain(failure) or failure}"])


def _channels() -> "tuple[list[Channel], list[str]]":
    """The channels of the environment, and what is wrong with it."""
    from regime_engine.notify import channels

    return channels.from_environment(os.environ)


def _test(database: "Database", channels: "Sequence[Channel]", phases: Phases) -> list[str]:
    """Send a test to each channel; returns what went wrong."""
    from regime_engine.notify import delivery

    faults = []
    for channel in channels:
        phases.begin(f"testing {channel.name}")
        fault = delivery.test(database, channel)
        phases.end()
        if fault:
            faults.append(f"{channel.name}: {fault}")
        else:
            say(f"{channel.name}: took the test")
    return faults


def _say_suppressed(suppressed: dict[str, int], first: date) -> None:
    for channel, number in suppressed.items():
        if number:
            say(f"{channel}: {number:,} from before {first} will not be sent", err=True)


def _print(dealt: "Sequence[Delivery]", output_format: str, quiet: bool) -> None:
    """The deliveries. quiet: no word if there are none, since cron mails whatever is printed"""
    from regime_engine.notify.delivery import Delivery

    if not dealt and output_format == "table":
        if not quiet:
            say("nothing to send")
        return
    every = [each.name for each in fields(Delivery)]
    columns = SHOWN if output_format == "table" else every
    rows = [[getattr(each, column) for column in columns] for each in dealt]
    print_rows(columns, rows, output_format)


def _left(
    database: "Database", channels: "Sequence[Channel]", quiet: bool = False
) -> dict[str, str]:
    """What failed and waits, by channel. What waits for a channel that is not ours is a note."""
    from regime_engine.notify import outbox

    names = [channel.name for channel in channels]
    faults = {}
    for row in outbox.waiting(database).records(dict):
        name, number = row["channel"], f"{row['waiting']:,}"
        if name in names:
            # Without an error, another process is about to send it.
            if row["last_error"]:
                faults[name] = (
                    f"{name}: {number} not delivered ({row['last_error']}); tried again from "
                    f"{row['next_attempt_at']:%Y-%m-%d %H:%M:%S} UTC on, or with `regime notify "
                    "--now`"
                )
        elif not quiet:
            say(
                f"note: {number} wait for {name}, which is not configured here; `regime notify "
                f"--give-up {name}` drops them",
                err=True,
            )
    return faults


def _warn(faults: Sequence[str]) -> None:
    for fault in faults:
        say(f"warning: {fault}", err=True)
