"""Sends what is in the outbox: each notification reaches each channel, even if a sender is killed.

A sender locks the channel, sends a message, records it and commits. If the sender is killed in
between, the lock ends, and the next sender sends the message again, with the same id. A channel
that is down is tried once, and each time the pause before the next try is longer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from regime_engine.database import Database
from regime_engine.notify import formats, outbox, senders
from regime_engine.notify.channels import Channel
from regime_engine.notify.formats import EXAMPLE
from regime_engine.notify.senders import NotSent


@dataclass(frozen=True)
class Delivery:
    """What became of a notification in a channel.

    status: DELIVERED, WAITING, WITHDRAWN
    error: why it was not sent, or what of it failed; next_attempt_at: None unless it failed
    """

    channel: str
    status: str
    kind: str
    region: str | None
    as_of_date: date
    title: str
    error: str | None
    next_attempt_at: datetime | None
    notification_id: str


def plan(database: Database, channels: Sequence[Channel], since: date) -> dict[str, int]:
    """Find what happened, and decide for each channel what it gets.

    returns channel → how many notifications are older than `since`, which it will never get
    """
    with database.transaction():
        # Two that write the outbox at once would lock each other out on a distributed Postgres.
        database.take_turns(["notifications"])
        outbox.record(database, since)
        outbox.reinstate(database)
        return {channel.name: outbox.plan(database, channel, since)[1] for channel in channels}


def would_send(
    database: Database, channels: Sequence[Channel], since: date, is_now: bool
) -> tuple[dict[str, int], list[Delivery]]:
    """What `plan` and `send` would do; nothing is sent or stored."""
    with database.transaction(force_rollback=True):
        suppressed = plan(database, channels, since)
        due = _due(database, is_now)
        found = []
        for channel in channels:
            tried: list[str] = []
            while claimed := outbox.claim(database, channel.name, due, tried):
                tried.append(claimed.news.notification_id)
                status = "WAITING" if claimed.is_still_so else "WITHDRAWN"
                found.append(_delivery(database, channel, claimed, status))
    return suppressed, found


def send(
    database: Database,
    channels: Sequence[Channel],
    is_now: bool = False,
    progress: Callable[[str], object] = lambda doing: None,
) -> Iterator[Delivery]:
    """Send what is due, and give each delivery when it is recorded.

    is_now: also what is to wait after a failure
    progress: called with what is done
    """
    due = _due(database, is_now)
    for channel in channels:
        progress(f"notifying {channel.name}")
        tried: list[str] = []
        is_down = False
        while not is_down:
            with database.transaction():
                # A machine that lost its power says nothing: the server then ends its session.
                database.execute("set local idle_in_transaction_session_timeout = '5min'")
                database.take_turns([f"notifications/{channel.name}"])
                claimed = outbox.claim(database, channel.name, due, tried)
                if claimed is None:
                    break
                tried.append(claimed.news.notification_id)
                done, is_down = _try(database, channel, claimed)
                if is_down and done.next_attempt_at:
                    outbox.postpone(database, channel.name, done.next_attempt_at)
            yield done


def test(database: Database, channel: Channel) -> str | None:
    """Send a message that says it is a test; returns why the channel did not take it, or None."""
    try:
        return senders.send(database, channel, EXAMPLE)
    except NotSent as error:
        return str(error)


def _try(database: Database, channel: Channel, claimed: outbox.Claim) -> tuple[Delivery, bool]:
    """What became of a delivery, and whether the channel is down."""
    if not claimed.is_still_so:
        outbox.withdrawn(database, channel.name, claimed)
        return _delivery(database, channel, claimed, "WITHDRAWN"), False
    told = formats.message(claimed.news, database.connection.info.dbname)
    try:
        warning = senders.send(database, channel, told)
    except NotSent as error:
        next_attempt_at = outbox.failed(database, channel.name, claimed, str(error))
        done = _delivery(database, channel, claimed, "WAITING", str(error), next_attempt_at)
        return done, error.is_of_channel
    outbox.delivered(database, channel.name, claimed, warning)
    return _delivery(database, channel, claimed, "DELIVERED", warning), False


def _delivery(
    database: Database,
    channel: Channel,
    claimed: outbox.Claim,
    status: str,
    error: str | None = None,
    next_attempt_at: datetime | None = None,
) -> Delivery:
    news = claimed.news
    return Delivery(
        channel=channel.name,
        status=status,
        kind=news.kind,
        region=news.region,
        as_of_date=news.as_of_date,
        title=formats.message(news, database.connection.info.dbname).title,
        error=error,
        next_attempt_at=next_attempt_at,
        notification_id=news.notification_id,
    )


def _due(database: Database, is_now: bool) -> datetime | str:
    return "infinity" if is_now else outbox.now(database)
