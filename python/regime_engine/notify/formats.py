"""What a message says, and the shape in which each kind of channel takes it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from importlib.resources import files
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from regime_engine.errors import RegimeError

KINDS = ("transition", "retraction", "stale", "run_failed", "audit_failed", "novelty")
# The names of our own templates of a webhook's JSON.
TEMPLATES = ("json", "slack", "teams")
# Postgres takes no payload of 8000 bytes.
MOST_BYTES_OF_PAYLOAD = 7900
MOST_TESTS_NAMED = 10


@dataclass(frozen=True)
class Notification:
    """A row of the outbox; region, model_id, window_days and subject may be None."""

    notification_id: str
    kind: str
    region: str | None
    as_of_date: date
    model_id: str | None
    window_days: int | None
    subject: str | None
    document: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Message:
    """A notification in words.

    database: the name of the database that it comes from
    """

    notification: Notification
    database: str
    title: str
    text: str

    def document(self) -> dict[str, Any]:
        """The message as JSON has it; its keys are a promise to those who read it."""
        news = self.notification
        return {
            "id": news.notification_id,
            "kind": news.kind,
            "title": self.title,
            "text": self.text,
            "region": news.region,
            "as_of_date": news.as_of_date.isoformat(),
            "model_id": news.model_id,
            "window_days": news.window_days,
            "details": dict(news.document),
            "database": self.database,
            "created_at": news.created_at.isoformat(timespec="seconds"),
        }


def message(news: Notification, database: str) -> Message:
    """The notification in words; its document as it is, if that is not as the engine wrote it."""
    try:
        title, lines = _WORDS[news.kind](news)
    except (AttributeError, KeyError, TypeError, ValueError):
        title = f"{news.kind} {news.region or ''} on {news.as_of_date}"
        lines = [json.dumps(news.document, default=str)]
    return Message(news, database, _line(title), "\n".join(map(_line, lines)))


def _transition(news: Notification) -> tuple[str, list[str]]:
    told = news.document
    before, after = told["from_regime_label"], told["to_regime_label"]
    return (
        f"{news.region}: {before} → {after} on {news.as_of_date}",
        [
            f"The regime of {news.region} is {after} since {news.as_of_date}, with confidence "
            f"{told['to_confidence']:.2f}. On {told['previous_as_of_date']} it was {before}, with "
            f"confidence {told['from_confidence']:.2f}.",
            f"Model: {news.model_id}, windows of {news.window_days} days.",
            f"Why: regime explain --region {news.region} --as-of {news.as_of_date} "
            f"--model-id {news.model_id} --window-days {news.window_days}",
        ],
    )


def _retraction(news: Notification) -> tuple[str, list[str]]:
    told = news.document
    before, after = told["from_regime_label"], told["to_regime_label"]
    return (
        f"{news.region}: taken back: {before} → {after} on {news.as_of_date}",
        [
            f"You were told that the regime of {news.region} became {after} on {news.as_of_date}. "
            "This no longer holds, because prices or models changed or rows were removed.",
            f"Model: {news.model_id}, windows of {news.window_days} days.",
            f"What holds now: regime history --region {news.region} --model-id {news.model_id} "
            f"--window-days {news.window_days}",
        ],
    )


def _stale(news: Notification) -> tuple[str, list[str]]:
    told = news.document
    price, regime = told["last_price"], told["last_regime"]
    if told["is_price_stale"]:
        return (
            f"{news.region}: no new price since {price}",
            [
                f"On {news.as_of_date} the newest price of {told['instrument_id']} is that of "
                f"{price}. No regime of a later day can be classified.",
                "What to do: load newer prices, then run regime pipeline",
            ],
        )
    return (
        f"{news.region}: no new regime since {regime}",
        [
            f"On {news.as_of_date} the newest regime of {news.region} is that of {regime}, but "
            f"there are prices up to {price}.",
            "What to do: see regime status for runs that failed, then run regime pipeline",
        ],
    )


def _run_failed(news: Notification) -> tuple[str, list[str]]:
    told = news.document
    of = " ".join(filter(None, (told["region"], told["instrument_id"])))
    return (
        f"regime {told['command']} failed on {news.as_of_date}" + (f": {of}" if of else ""),
        [f"It said: {told['error']}", "What to do: see regime status"],
    )


def _audit_failed(news: Notification) -> tuple[str, list[str]]:
    tests, ended = news.document["tests"], datetime.fromisoformat(news.document["audited_at"])
    named = [f"{name} ({failures:,} rows)" for name, failures in sorted(tests.items())]
    more = len(named) - MOST_TESTS_NAMED
    return (
        f"The audit of {news.as_of_date} failed: {len(tests)} "
        + ("test" if len(tests) == 1 else "tests"),
        [
            f"Failed at {ended:%H:%M} UTC: "
            + ", ".join(named[:MOST_TESTS_NAMED])
            + (f" and {more} more" if more > 0 else ""),
            "What to do: regime audit shows the wrong rows and what to run",
        ],
    )


def _novelty(news: Notification) -> tuple[str, list[str]]:
    novelty = news.document["novelty"]
    return (
        f"{news.region}: very unusual window on {news.as_of_date} (novelty {novelty:.1f})",
        [
            f"The window that ends on {news.as_of_date} is more unusual than {novelty:.1f} % of "
            f"those that the model was trained on. Its label is {news.document['regime_label']}.",
            f"Model: {news.model_id}, windows of {news.window_days} days.",
            "What to do: look at the prices of these days; if they are right, trust the label less",
        ],
    )


_WORDS = {
    "transition": _transition,
    "retraction": _retraction,
    "stale": _stale,
    "run_failed": _run_failed,
    "audit_failed": _audit_failed,
    "novelty": _novelty,
}


def _line(text: str) -> str:
    """One line of what can be printed: a name can be anything, and a header ends at a line feed."""
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split()))


def template(name: str) -> str | None:
    """The text of one of our own templates, None for another name."""
    if name not in TEMPLATES:
        return None
    return (files(__package__) / "templates" / f"{name}.json.j2").read_text(encoding="utf-8")


def webhook(text: str, told: Message) -> bytes:
    """The message as JSON by a Jinja template. text: of the template

    raises RegimeError if what it gives is not JSON
    """
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    # jinja2's own is for HTML. The text of a name that the message does not have is an error.
    environment.filters["tojson"] = lambda value: json.dumps(value, default=str)
    try:
        filled = environment.from_string(text).render(message=told.document())
        return json.dumps(json.loads(filled), ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise RegimeError(
            f"the template gives no JSON (line {error.lineno}: {error.msg}); write a text as "
            "{{ message.title | tojson }}, which quotes it"
        ) from error
    except (jinja2.TemplateError, TypeError) as error:
        raise RegimeError(f"the template cannot be filled: {_line(str(error))}") from error


def mail(told: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """A plain text. Its Message-ID is always the same, so that a mail program shows it once."""
    news = told.notification
    letter = EmailMessage()
    letter["Subject"] = told.title
    letter["From"] = sender
    letter["To"] = ", ".join(recipients)
    letter["Date"] = format_datetime(news.created_at)
    letter["Message-ID"] = f"<{news.notification_id}@regime-engine>"
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Regime-Notification"] = news.notification_id
    origin = f"Database {_line(told.database)}, notification {news.notification_id}"
    letter.set_content(f"{told.text}\n\n-- \n{origin}\n")
    return letter


def payload(told: Message) -> str:
    """The JSON for NOTIFY; without its details if it would be too long."""
    document = told.document()
    text = json.dumps(document, ensure_ascii=False)
    if len(text.encode()) > MOST_BYTES_OF_PAYLOAD:
        shortened = {
            "text": _shortened(told.text),
            "title": _shortened(told.title),
            "details": None,
        }
        text = json.dumps(document | shortened, ensure_ascii=False)
    return text


def _shortened(text: str) -> str:
    return text if len(text) <= 500 else text[:499] + "…"


# What `--test` sends, and what a template is tried with.
EXAMPLE = Message(
    notification=Notification(
        notification_id="0" * 64,
        kind="transition",
        region="TEST",
        as_of_date=date(2008, 9, 15),
        model_id="num-regime-core-v3",
        window_days=63,
        subject="RISK_OFF → CRISIS",
        document={
            "from_regime_label": "RISK_OFF",
            "to_regime_label": "CRISIS",
            "from_confidence": 0.61,
            "to_confidence": 0.83,
            "previous_as_of_date": "2008-09-12",
        },
        created_at=datetime.fromisoformat("2008-09-16T06:00:00+00:00"),
    ),
    database="test",
    title="A test of this channel by regime notify",
    text="If you can read this, the channel works. Nothing happened.",
)
