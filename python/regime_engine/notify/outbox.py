"""The outbox: what happened, and what became of it in each channel.

A transition is put there by the transaction that writes it; `record` adds the other kinds, which
follow from what is stored. The id of an event is a hash of what it is, so that finding it twice is
finding it once.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta

from psycopg import sql

from regime_engine.database import Database, Rows
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError
from regime_engine.notify.channels import Channel
from regime_engine.notify.formats import Notification
from regime_engine.reading.rows import IS_OF_TRADING_DAY
from regime_engine.reading.tables import region_overview
from regime_engine.runs import dead_runs
from regime_engine.seeds import nearest_first
from regime_engine.series import MAX_STALENESS_DAYS
from regime_engine.store.regimes import NOTIFICATION_ID

# People are told of a window that is more unusual than this percentage of the training windows.
USUAL_NOVELTY = 99
# After the first failure a minute, after each further one twice as long, up to the second number.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)

_NOVELTY = sql.SQL("""
    case jsonb_typeof(stored.metadata -> 'novelty')
        when 'number' then (stored.metadata ->> 'novelty')::numeric
    end
""")


@dataclass(frozen=True)
class Event:
    """Something to tell: a row of the outbox, without its id."""

    kind: str
    as_of_date: date
    document: Mapping[str, object] = field(default_factory=dict)
    region: str | None = None
    model_id: str | None = None
    window_days: int | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Claim:
    """A delivery that is to be sent."""

    news: Notification
    attempts: int
    is_still_so: bool


def record(database: Database, since: date) -> None:
    """Put into the outbox what is stored of the days since then, and what is stale today."""
    add(database, _stale_regions(database))
    add(database, _failed_runs(database, since))
    add(database, _failed_audits(database, since))
    add(database, _unusual_days(database, since))
    add(database, _retractions(database, since))


def add(database: Database, events: Iterable[Event]) -> None:
    """Put events into the outbox; one that is there already stays as it is."""
    if listed := [asdict(event) for event in events]:
        database.execute(
            statement(__package__, "insert_notifications"),
            {"events": json.dumps(listed, default=str)},
            notification_id=NOTIFICATION_ID,
        )


def failed_pipeline(database: Database, error: str) -> Event:
    """A pipeline that ended before the runs of the ledger, or between them."""
    return _failed_run(today(database), "pipeline", None, None, None, error[:500])


def today(database: Database) -> date:
    (day,) = database.one("select current_date")
    assert isinstance(day, date)
    return day


def _stale_regions(database: Database) -> Iterator[Event]:
    """Regions whose newest price, or whose newest regime, could not serve for a window today."""
    day = today(database)
    overview = region_overview(database).records(dict)
    last_regimes = database.rows_of_each(
        "select max(as_of_date) from {regimes} where region = %(region)s",
        [{"region": row["region"]} for row in overview],
    )
    for row, [(regime,)] in zip(overview, last_regimes, strict=True):
        price = row["last_price"]
        is_regime_stale = regime and (day - regime).days > MAX_STALENESS_DAYS
        if row["is_stale"] or (price and is_regime_stale):
            document = {
                "instrument_id": row["instrument_id"],
                "last_price": price,
                "last_regime": regime,
                "is_price_stale": row["is_stale"],
            }
            yield Event("stale", day, document, region=row["region"])


def _failed_runs(database: Database, since: date) -> Iterator[Event]:
    dead = [run.run_id for run in dead_runs(database)]
    rows = database.execute(
        statement(__package__, "failed_runs"), {"since": since, "dead": dead}
    ).fetchall()
    for row in rows:
        yield _failed_run(*row)


def _failed_run(
    as_of_date: date,
    command: str,
    region: str | None,
    instrument_id: str | None,
    run_id: str | None,
    error: str,
) -> Event:
    document = {
        "command": command,
        "region": region,
        "instrument_id": instrument_id,
        "run_id": run_id,
        "error": error,
    }
    subject = " ".join(filter(None, (command, region, instrument_id)))
    return Event("run_failed", as_of_date, document, region=region, subject=subject)


def _failed_audits(database: Database, since: date) -> Iterator[Event]:
    rows = database.execute(statement(__package__, "failed_audits"), {"since": since}).fetchall()
    for as_of_date, audited_at, tests in rows:
        document = {"audited_at": audited_at.isoformat(timespec="seconds"), "tests": tests}
        yield Event("audit_failed", as_of_date, document, subject=", ".join(sorted(tests)))


def _unusual_days(database: Database, since: date) -> Iterator[Event]:
    rows = database.rows(
        statement(__package__, "unusual_days"),
        {"since": since},
        **_novelty_slots(),
        is_of_trading_day=IS_OF_TRADING_DAY,
    )
    for row in rows.records(dict):
        yield Event("novelty", **row)


def _retractions(database: Database, since: date) -> Iterator[Event]:
    rows = database.rows(
        statement(__package__, "retracted_transitions"),
        {"since": since},
        is_stored=_is_stored(database),
    )
    for row in rows.records(dict):
        yield Event("retraction", **row)


def _is_stored(database: Database) -> sql.Composed:
    return database.compose(statement(__package__, "is_stored"))


def _novelty_slots() -> dict[str, sql.Composable]:
    return {"novelty": _NOVELTY, "usual_novelty": sql.Literal(USUAL_NOVELTY)}


def plan(database: Database, channel: Channel, since: date) -> tuple[int, int]:
    """Decide for each notification that the channel has not seen whether it is to get it.

    since: what is of an earlier day is not sent
    returns how many are to be sent and how many are suppressed
    """
    parameters = {"channel": channel.name, "kinds": list(channel.kinds), "since": since}
    rows = database.execute(
        statement(__package__, "plan_deliveries"), parameters | {"now": now(database)}
    ).fetchall()
    suppressed = sum(status == "SUPPRESSED" for (status,) in rows)
    return len(rows) - suppressed, suppressed


def reinstate(database: Database) -> None:
    """Let what was withdrawn and is so again wait again."""
    query = statement(__package__, "so_again")
    found = database.rows(query, still_so=_still_so(database)).records(dict)
    unknown = [row for row in found if row["is_so"] is None]
    are_unusual = zip(unknown, _are_unusual(database, unknown), strict=True)
    again = [row for row in found if row["is_so"]] + [row for row, is_so in are_unusual if is_so]
    if not again:
        return
    database.execute(
        """
        update {notification_deliveries}
        set status = 'WAITING', next_attempt_at = %(now)s
        where
            status = 'WITHDRAWN'
            and (notification_id, channel) in (
                select * from unnest(%(notification_ids)s::text[], %(channels)s::text[])
            )
        """,
        {
            "now": now(database),
            "notification_ids": [row["notification_id"] for row in again],
            "channels": [row["channel"] for row in again],
        },
    )


def claim(database: Database, channel: str, due: datetime | str, tried: list[str]) -> Claim | None:
    """The next delivery of a channel that the caller has locked; None if none is due.

    due: those that may be tried by then, or 'infinity'; tried: the ids that are left out
    """
    row = database.first(
        statement(__package__, "next_delivery"),
        {"channel": channel, "due": due, "tried": tried},
        still_so=_still_so(database),
    )
    if row is None:
        return None
    news, (attempts, is_still_so) = Notification(*row[:9]), row[9:]
    if is_still_so is None:
        (is_still_so,) = _are_unusual(database, [vars(news)])
    return Claim(news, attempts, is_still_so)


def delivered(database: Database, channel: str, claimed: Claim, warning: str | None) -> None:
    """Record that the channel took it. warning: what of it failed"""
    _set(
        database,
        channel,
        claimed,
        status="DELIVERED",
        attempts=claimed.attempts + 1,
        delivered_at=now(database),
        last_error=warning,
    )


def withdrawn(database: Database, channel: str, claimed: Claim) -> None:
    """Record that it is not sent, since what it says is not so any more."""
    _set(database, channel, claimed, status="WITHDRAWN")


def failed(database: Database, channel: str, claimed: Claim, reason: str) -> datetime:
    """Record a failed try; returns when the next one may follow."""
    attempts = claimed.attempts + 1
    next_attempt_at = now(database) + pause_after(attempts)
    _set(
        database,
        channel,
        claimed,
        attempts=attempts,
        next_attempt_at=next_attempt_at,
        last_error=reason,
    )
    return next_attempt_at


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failures."""
    # No higher power, which no timedelta can hold.
    return min(FIRST_PAUSE * 2 ** min(attempts - 1, 16), LONGEST_PAUSE)


def postpone(database: Database, channel: str, next_attempt_at: datetime) -> None:
    """Let the other deliveries of a channel that is down wait too."""
    parameters = {"channel": channel, "next_attempt_at": next_attempt_at}
    database.execute(statement(__package__, "postpone_channel"), parameters)


def give_up(database: Database, channel: str) -> int:
    """Never send what waits for a channel; returns how many that is.

    raises RegimeError if the channel never had anything to send
    """
    rows = database.execute("select distinct channel from {notification_deliveries} order by 1")
    known = [name for (name,) in rows]
    if channel not in known:
        raise RegimeError(
            f"nothing was ever to be sent to a channel {channel!r}: known are "
            f"{', '.join(nearest_first(channel, known)) or 'none'}"
        )
    query = """
        update {notification_deliveries}
        set status = 'SUPPRESSED'
        where channel = %s and status in ('WAITING', 'WITHDRAWN')
    """
    return database.execute(query, [channel]).rowcount


def waiting(database: Database) -> Rows:
    """One row a channel for which something waits: how many, since when, until when, and why."""
    return database.rows(statement(__package__, "waiting"))


def now(database: Database) -> datetime:
    """The time by the clock of the database, since several machines may send."""
    (moment,) = database.one("select clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment


def _still_so(database: Database) -> sql.Composed:
    return database.compose(statement(__package__, "still_so"), is_stored=_is_stored(database))


def _are_unusual(database: Database, regimes: Sequence[Mapping[str, object]]) -> list[bool]:
    """Of the regimes with these keys, whether they are stored and their windows unusual."""
    query = statement(__package__, "still_unusual")
    found = database.rows_of_each(query, regimes, **_novelty_slots())
    return [is_unusual for [(is_unusual,)] in found]


def _set(database: Database, channel: str, claimed: Claim, **values: object) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    key = {"channel": channel, "notification_id": claimed.news.notification_id}
    database.execute(
        "update {notification_deliveries} set {columns}"
        " where notification_id = %(notification_id)s and channel = %(channel)s",
        key | values,
        columns=columns,
    )
