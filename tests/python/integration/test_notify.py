"""`regime notify`: every event once to every channel, with real servers that fail, hang and die."""

import email
import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from bundled import PROTOTYPES, US, V3
from commands import Process, environment, refusal, succeed
from servers import DATABASE, wait_until

from regime_engine.cli.notify import telling
from regime_engine.cli.progress import Phases
from regime_engine.engine import classify, fit, vote
from regime_engine.errors import RegimeError
from regime_engine.notify import channels, delivery, senders
from regime_engine.series import Series

pytestmark = pytest.mark.one_server

FIRST, LAST = date(2011, 6, 1), date(2011, 12, 30)
# The bundled prices end in 2018.
NOTIFY = ("notify", "--since", "2011-01-01")
SECRET = "T0K3N"


@pytest.fixture
def settings(server, history_template):
    with server.database(DATABASE, history_template) as settings:
        yield settings


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


class Hook:
    """A web server at a port of its own, which can be killed and started again there.

    received: the JSON of each request, with its Idempotency-Key; answer: the status that it gives
    held: while it is set, a request that was read is not answered
    """

    def __init__(self) -> None:
        self.received: list[tuple[str, dict]] = []
        self.answers: list[int] = []
        self.held = threading.Event()
        self.arrived = threading.Event()
        self.port = 0
        self.headers = None
        self.start()

    def start(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.headers = self.headers
                hook.arrived.set()
                while hook.held.is_set():
                    time.sleep(0.01)
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    hook.received.append((self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", self.path)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self) -> None:
        self.held.clear()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{SECRET}"

    @property
    def ids(self) -> list[str]:
        return [key for key, _ in self.received]


@pytest.fixture
def hook(monkeypatch) -> Iterator[Hook]:
    """The channel `desk`, which takes transitions."""
    hook = Hook()
    monkeypatch.setenv("REGIME_NOTIFY_DESK", hook.url)
    monkeypatch.setenv("REGIME_NOTIFY_DESK_KINDS", "transition")
    yield hook
    hook.stop()


def expected_ids(database, region: str = "US") -> list[str]:
    """The ids of the transitions, by hashlib."""
    rows = database.rows(
        "select region, as_of_date, from_regime_label, to_regime_label"
        " from runtime.regime_transitions where region = %s order by as_of_date",
        [region],
    ).rows
    assert len(rows) >= 4
    ids = []
    for name, day, before, after in rows:
        values = ["transition", name, str(day), V3, 63, f"{before} → {after}"]
        text = json.dumps(values, ensure_ascii=False)
        ids.append(hashlib.sha256(text.encode()).hexdigest())
    return ids


def states(database, channel: str = "desk") -> Counter:
    query = "select status from runtime.notification_deliveries where channel = %s"
    return Counter(status for (status,) in database.execute(query, [channel]))


def outbox(database) -> set[str]:
    query = "select notification_id from runtime.notifications where kind = 'transition'"
    return {each for (each,) in database.execute(query)}


def test_the_outbox_has_the_transitions_of_regions_and_of_no_other_instrument(database):
    vote.vote(database, V3, 63)
    classify.backfill(database, Series("GSPC.INDX", V3, 63), FIRST, date(2011, 7, 29))
    assert outbox(database) == {*expected_ids(database), *expected_ids(database, "GLOBAL")}


def test_a_transition_and_its_row_in_the_outbox_are_of_one_transaction(database):
    writers = database.rows("""
        select news.xmin::text, stored.xmin::text
        from runtime.regime_transitions as stored
        full join runtime.notifications as news using (region, as_of_date, model_id, window_days)
    """).rows
    assert len(writers) >= 4
    assert all(one == other for one, other in writers)


def test_each_transition_goes_once_to_each_channel_with_its_id(database, hook, regime):
    ids = expected_ids(database)
    printed = json.loads(succeed(regime(*NOTIFY, "--format", "json")).stdout)
    assert [each["notification_id"] for each in printed] == ids
    assert {each["status"] for each in printed} == {"DELIVERED"}
    assert hook.ids == ids
    told = [body for _, body in hook.received]
    assert [body["id"] for body in told] == ids
    last = database.one(
        "select as_of_date, from_regime_label, to_regime_label, to_confidence"
        " from runtime.regime_transitions order by as_of_date desc limit 1"
    )
    day, before, after, confidence = last
    assert told[-1]["title"] == f"US: {before} → {after} on {day}"
    assert told[-1]["as_of_date"] == str(day)
    assert told[-1]["details"]["to_confidence"] == confidence
    assert f"{confidence:.2f}" in told[-1]["text"]
    assert "nothing to send" in succeed(regime(*NOTIFY)).stdout
    assert hook.ids == ids


def test_a_channel_that_is_added_later_gets_no_flood(database, hook, regime, monkeypatch):
    succeed(regime(*NOTIFY))
    n = len(hook.received)
    second = Hook()
    monkeypatch.setenv("REGIME_NOTIFY_LATE", second.url)
    monkeypatch.setenv("REGIME_NOTIFY_LATE_KINDS", "transition")
    done = succeed(regime("notify"))
    second.stop()
    assert f"late: {n} from before" in done.stderr
    assert not second.received
    assert states(database, "late") == {"SUPPRESSED": n}
    assert states(database) == {"DELIVERED": n}


def test_restated_history_is_suppressed_and_news_is_sent(database, hook, regime):
    """A new model has other labels for the half-year; the last days count as recent."""
    succeed(regime("notify"))
    assert not hook.received
    old = outbox(database)
    assert states(database) == {"SUPPRESSED": len(old)}
    renamed = {"CARRY": "NEUTRAL", "CRISIS": "RISK_OFF"}
    labelled = tuple(replace(each, label=renamed[each.label]) for each in PROTOTYPES.labelled)
    fit.fit(database, US, replace(PROTOTYPES, labelled=labelled))
    classify.backfill(database, US, FIRST, LAST)
    new = database.rows(
        "select notification_id, as_of_date from runtime.notifications"
        " where kind = 'transition' and not notification_id = any(%s) order by as_of_date",
        [list(old)],
    ).rows
    assert len(new) >= 2
    since = new[-1][1]
    succeed(regime("notify", "--since", str(since)))
    assert set(hook.ids) == {each for each, day in new if day >= since}
    assert states(database)["SUPPRESSED"] == len(old) + len(new) - len(hook.ids)


def test_a_server_that_was_down_gets_everything_when_it_is_back(database, hook, regime):
    ids = expected_ids(database)
    hook.stop()
    done = regime(*NOTIFY)
    assert done.returncode == 1
    assert f"Error: desk: {len(ids)} not delivered (connection refused); tried again" in done.stderr
    attempts = "select attempts from runtime.notification_deliveries order by 1 desc"
    assert [n for (n,) in database.execute(attempts)] == [1] + [0] * (len(ids) - 1)
    shown = json.loads(succeed(regime("status", "--format", "json")).stdout)
    (waits,) = shown["waiting_notifications"]
    assert (waits["channel"], waits["waiting"]) == ("desk", len(ids))
    assert waits["last_error"] == "connection refused"
    metrics = succeed(regime("status", "--format", "prometheus")).stdout
    assert f'regime_waiting_notifications{{channel="desk"}} {len(ids)}' in metrics.splitlines()

    hook.start()
    # This test may take longer than the first pause.
    database.execute(
        "update runtime.notification_deliveries set next_attempt_at = next_attempt_at + interval '1 day'"
    )
    assert regime(*NOTIFY).returncode == 1
    assert not hook.received
    succeed(regime(*NOTIFY, "--now"))
    assert hook.ids == ids
    assert json.loads(regime("status", "--format", "json").stdout)["waiting_notifications"] == []


def test_a_refused_message_does_not_hold_up_the_others(database, hook, regime):
    hook.answers = [400]
    done = regime(*NOTIFY)
    assert done.returncode == 1
    assert (
        "desk: 1 not delivered (the server answered 400 Bad Request: check the address"
        in done.stderr
    )
    assert hook.ids == expected_ids(database)[1:]


def test_a_redirect_is_no_delivery(database, hook, regime):
    hook.answers = [302]
    done = regime(*NOTIFY)
    assert "the server answered 302 Found: the address has moved" in done.stderr
    assert not hook.received
    assert states(database) == {"WAITING": len(expected_ids(database))}


def test_a_sender_that_is_killed_loses_nothing(settings, database, hook, regime):
    ids = expected_ids(database)
    hook.held.set()
    process = Process("regime", NOTIFY, environment(settings))
    assert hook.arrived.wait(60)
    process.kill()
    process.wait()
    hook.held.clear()
    wait_until(
        database,
        "select not exists (select 1 from pg_stat_activity where state = 'idle in transaction')",
    )
    assert states(database) == {"WAITING": len(ids)}
    succeed(regime(*NOTIFY))
    # The first was sent twice, and says so by its id.
    assert set(hook.ids) == set(ids)
    assert Counter(hook.ids) - Counter(ids) <= Counter(ids[:1])
    assert states(database) == {"DELIVERED": len(ids)}


def test_two_senders_at_once_send_each_once(settings, database, hook):
    ids = expected_ids(database)
    hook.held.set()
    first = Process("regime", NOTIFY, environment(settings))
    assert hook.arrived.wait(60)
    second = Process("regime", NOTIFY, environment(settings))
    wait_until(
        database,
        "select exists (select 1 from pg_stat_activity where wait_event_type = 'Lock')",
    )
    hook.held.clear()
    assert {first.wait(60), second.wait(60)} == {0}
    assert sorted(hook.ids) == sorted(ids)
    assert states(database) == {"DELIVERED": len(ids)}


def test_what_is_not_so_any_more_is_withdrawn_until_it_is_so_again(database, hook, regime):
    ids = expected_ids(database)
    hook.answers = [503]
    regime(*NOTIFY)
    succeed(regime("forget", "--region", "US", "--yes"))
    succeed(regime(*NOTIFY, "--now"))
    assert not hook.received
    assert states(database) == {"WITHDRAWN": len(ids)}
    fit.fit(database, US, PROTOTYPES)
    classify.backfill(database, US, FIRST, LAST)
    succeed(regime(*NOTIFY))
    assert hook.ids == ids


def test_who_was_told_of_a_change_is_told_when_it_is_taken_back(database, hook, regime):
    ids = expected_ids(database)
    succeed(regime(*NOTIFY))
    succeed(regime("forget", "--region", "US", "--yes"))
    for _ in range(2):
        succeed(regime(*NOTIFY))
    told = [body for _, body in hook.received]
    assert [body["kind"] for body in told] == len(ids) * ["transition"] + len(ids) * ["retraction"]
    changes, retractions = (
        {(body["as_of_date"], body["details"]["to_regime_label"]) for body in half}
        for half in (told[: len(ids)], told[len(ids) :])
    )
    assert changes == retractions
    assert len(set(hook.ids)) == 2 * len(ids)


def test_a_dry_run_shows_what_would_be_sent_and_stores_nothing(database, hook, regime):
    printed = json.loads(succeed(regime(*NOTIFY, "--dry-run", "--format", "json")).stdout)
    assert [each["notification_id"] for each in printed] == expected_ids(database)
    assert not hook.received
    assert not states(database)


def test_what_waits_can_be_given_up(database, hook, regime):
    hook.answers = [503]
    regime(*NOTIFY)
    assert "known are desk" in refusal(regime("notify", "--give-up", "dsk"))
    n = len(expected_ids(database))
    assert f"desk: {n} will not be sent" in succeed(regime("notify", "--give-up", "desk")).stdout
    succeed(regime(*NOTIFY, "--now"))
    assert not hook.received


def test_other_kinds_are_found_in_what_is_stored(database, hook, regime, monkeypatch):
    """Stale prices, a failed and a killed run, a failed audit, unusual days."""
    monkeypatch.setenv("REGIME_NOTIFY_DESK_KINDS", "stale,run_failed,audit_failed,novelty")
    refusal(regime("run", "--region", "US", "--as-of", "1999-02-01"))
    database.execute("""
        insert into runtime.audit_verdicts
        select gen_random_uuid(), now(), name, verdict, 3, '0', 'me'
        from (values ('one', 'FAIL'), ('other', 'FAIL'), ('third', 'PASS')) as tests (name, verdict)
    """)
    database.execute(
        "update runtime.audit_verdicts set audit_id = '00000000-0000-0000-0000-000000000001'"
    )
    database.execute(
        "update runtime.regimes set metadata = metadata || %s::jsonb where as_of_date = '2011-08-08'",
        ['{"novelty": 99.7}'],
    )
    unusual = database.rows(
        "select as_of_date from runtime.regimes where (metadata ->> 'novelty')::float8 > 99"
    ).rows
    for _ in range(2):
        succeed(regime(*NOTIFY))
    told = [body for _, body in hook.received]
    counts = Counter(body["kind"] for body in told)
    assert counts == {"stale": 2, "run_failed": 1, "audit_failed": 1, "novelty": len(unusual)}
    by_kind = {body["kind"]: body for body in told}
    assert {body["region"] for body in told if body["kind"] == "stale"} == {"US", "US_TECH"}
    assert "2018-12-31" in by_kind["stale"]["title"]
    assert by_kind["run_failed"]["title"].startswith("regime run failed on ")
    assert "63" in by_kind["run_failed"]["details"]["error"]
    assert "2 tests" in by_kind["audit_failed"]["title"]
    assert by_kind["audit_failed"]["details"]["tests"] == {"one": 3, "other": 3}
    (of_day,) = [body for body in told if body["as_of_date"] == "2011-08-08"]
    assert "99.7" in of_day["title"]


def test_the_shapes_of_slack_teams_and_of_a_file(database, hook, regime, monkeypatch, tmp_path):
    own = tmp_path / "discord.json"
    own.write_text('{"content": {{ message.title | tojson }}}')
    for template in ("slack", "teams", str(own)):
        monkeypatch.setenv("REGIME_NOTIFY_DESK_TEMPLATE", template)
        succeed(regime("notify", "--test"))
    slack, teams, discord = (body for _, body in hook.received)
    assert slack["text"] == "A test of this channel by regime notify"
    assert slack["blocks"][0]["text"]["type"] == "mrkdwn"
    (card,) = teams["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["body"][0]["text"] == slack["text"]
    assert discord == {"content": slack["text"]}
    assert not states(database)


class Mailbox:
    """Keeps what a mail server gets; refuses recipients whose name begins with no."""

    def __init__(self):
        self.letters = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("no"):
            return "550 not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.letters.append(envelope)
        return "250 OK"


@contextmanager
def mail_server(box: Mailbox, **options) -> Iterator[int]:
    """A mail server on the port that it gives."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def test_mail_is_sent_with_an_id_and_a_refused_recipient_is_named(database, regime, monkeypatch):
    ids, box = expected_ids(database), Mailbox()
    monkeypatch.setenv("REGIME_NOTIFY_MAIL_KINDS", "transition")
    with mail_server(box) as port:
        url = f"smtp://127.0.0.1:{port}?from=regime@example.org&to=desk@example.org,nobody@example.org"
        monkeypatch.setenv("REGIME_NOTIFY_MAIL", url)
        done = succeed(regime(*NOTIFY))
    assert "refused 1 of 2 recipients (550)" in done.stdout
    letters = [
        email.message_from_bytes(each.content, policy=policy.default) for each in box.letters
    ]
    assert [letter["Message-ID"] for letter in letters] == [
        f"<{each}@regime-engine>" for each in ids
    ]
    assert {tuple(each.rcpt_tos) for each in box.letters} == {("desk@example.org",)}
    rows = database.rows(
        "select as_of_date, from_regime_label, to_regime_label from runtime.regime_transitions order by 1"
    ).rows
    for letter, (day, before, after) in zip(letters, rows, strict=True):
        assert letter["Subject"] == f"US: {before} → {after} on {day}"
        assert f"The regime of US is {after} since {day}" in letter.get_content()


def test_a_mail_server_that_is_down_gets_its_mail_later(database, regime, monkeypatch):
    ids, box = expected_ids(database), Mailbox()
    monkeypatch.setenv("REGIME_NOTIFY_MAIL_KINDS", "transition")
    with mail_server(box) as port:
        pass
    monkeypatch.setenv("REGIME_NOTIFY_MAIL", f"smtp://127.0.0.1:{port}?from=a@b.org&to=c@d.org")
    assert "not delivered (connection refused)" in regime(*NOTIFY).stderr
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    succeed(regime(*NOTIFY, "--now"))
    controller.stop()
    assert len(box.letters) == len(ids)


def test_a_password_goes_only_over_an_encrypted_connection(regime, monkeypatch, tmp_path):
    box, given = Mailbox(), []

    def authenticate(server, session, envelope, mechanism, data):
        given.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss word", handled=False)

    address = "localhost:{port}?from=a@b.org&to=c@d.org"
    with mail_server(box, authenticator=authenticate, auth_require_tls=False) as port:
        monkeypatch.setenv("REGIME_NOTIFY_MAIL", f"smtp://me:{SECRET}@" + address.format(port=port))
        done = regime("notify", "--test")
    assert "offers no encryption, so the password is not sent" in done.stderr
    assert given == []

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with mail_server(box, tls_context=context, require_starttls=True) as port:
        # Without a password there is nothing to protect from a server that nobody knows.
        monkeypatch.setenv("REGIME_NOTIFY_MAIL", "smtp://" + address.format(port=port))
        succeed(regime("notify", "--test"))
    encrypted = {"tls_context": context, "authenticator": authenticate, "auth_required": True}
    with mail_server(box, **encrypted) as port:
        url = "smtp://me:p%40ss%20word@" + address.format(port=port)
        monkeypatch.setenv("REGIME_NOTIFY_MAIL", url)
        assert "mail: the certificate is not trusted" in regime("notify", "--test").stderr
        assert given == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        succeed(regime("notify", "--test"))
        assert given == [(b"me", b"p@ss word")]
        monkeypatch.setenv("REGIME_NOTIFY_MAIL", url.replace("word", "w"))
        assert "mail: the mail server refused the login (535)" in regime("notify", "--test").stderr
    assert len(box.letters) == 2


def test_those_who_listen_to_postgres_are_told_as_the_delivery_commits(
    settings, database, regime, monkeypatch
):
    ids = expected_ids(database)
    monkeypatch.setenv("REGIME_NOTIFY_APP", "postgres:Regimes")
    monkeypatch.setenv("REGIME_NOTIFY_APP_KINDS", "transition")
    with psycopg.connect(settings.database_url, autocommit=True) as listener:
        listener.execute('listen "Regimes"')
        succeed(regime(*NOTIFY))
        heard = list(listener.notifies(timeout=60, stop_after=len(ids)))
    assert [json.loads(each.payload)["id"] for each in heard] == ids


def test_a_program_reads_the_message_and_its_failure_is_a_failure(
    database, regime, monkeypatch, tmp_path
):
    ids, told = expected_ids(database), tmp_path / "told"
    program = tmp_path / "page me"
    program.write_text(
        f"#!/bin/sh\nenv | grep -c REGIME_NOTIFY >> '{tmp_path}/secrets'\ncat >> '{told}'\necho >> '{told}'\n"
    )
    monkeypatch.setenv("REGIME_NOTIFY_PAGER", f"command:'{program}' --loud")
    monkeypatch.setenv("REGIME_NOTIFY_PAGER_KINDS", "transition")
    assert "pager: " in (done := regime(*NOTIFY)).stderr
    assert "the program cannot be started: permission denied" in done.stderr
    program.chmod(0o755)
    succeed(regime(*NOTIFY, "--now"))
    assert [json.loads(line)["id"] for line in told.read_text().splitlines()] == ids
    assert set((tmp_path / "secrets").read_text().split()) == {"0"}
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "pager: the program ended with exit code 3" in regime("notify", "--test").stderr


def test_a_channel_that_cannot_be_read_keeps_no_message_from_the_others(
    database, hook, regime, monkeypatch
):
    monkeypatch.setenv("REGIME_NOTIFY_OTHER", "htps://example.org")
    done = regime(*NOTIFY)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: REGIME_NOTIFY_OTHER has to begin with https://")
    assert hook.ids == expected_ids(database)


def test_no_secret_is_shown_or_stored(database, hook, regime, monkeypatch):
    monkeypatch.setenv("REGIME_NOTIFY_DESK", hook.url.replace("//", f"//me:{SECRET}@"))
    printed = ""
    for answers in ([404], [500], []):
        hook.answers = answers
        for arguments in ((*NOTIFY, "--now"), ("status",), ("notify", "--test")):
            done = regime(*arguments)
            printed += done.stdout + done.stderr
    hook.stop()
    printed += regime("notify", "--test").stderr
    assert hook.headers["Authorization"].startswith("Basic ")
    assert "404" in printed
    stored = database.rows(
        "select news::text, delivery::text from runtime.notifications as news"
        " inner join runtime.notification_deliveries as delivery using (notification_id)"
    ).rows
    assert stored
    assert SECRET not in printed + str(stored)


def test_a_day_to_come_is_refused(hook, regime):
    assert "is after today" in refusal(regime("notify", "--since", "2999-01-01"))


def test_without_a_channel_the_command_says_how_to_configure_one(regime):
    assert "no channel is configured, so nobody is told: set a variable" in refusal(
        regime("notify")
    )


def test_the_nightly_job_tells_of_its_own_failure_and_fails_as_without_it(
    database, hook, monkeypatch, capsys
):
    monkeypatch.setenv("REGIME_NOTIFY_DESK_KINDS", "run_failed")
    for _ in range(2):
        with pytest.raises(RegimeError, match="the disk"), telling(database, Phases(), True):
            raise RegimeError("the disk of the features is full")
    (body,) = (body for _, body in hook.received)
    assert body["details"]["command"] == "pipeline"
    assert "the disk of the features is full" in body["text"]

    hook.stop()
    with pytest.raises(RegimeError, match="other"), telling(database, Phases(), True):
        raise RegimeError("other")
    database.execute("drop table runtime.notification_deliveries")
    with telling(database, Phases(), True):
        pass
    assert "warning: not everybody is notified: " in capsys.readouterr().err
    monkeypatch.delenv("REGIME_NOTIFY_DESK_KINDS")
    monkeypatch.delenv("REGIME_NOTIFY_DESK")
    with telling(database, Phases(), True):
        pass
    assert "warning: no channel is configured" in capsys.readouterr().err


def test_a_channel_that_hangs_costs_one_time_out_and_no_other_channel(database, hook, monkeypatch):
    """In this process, where the time-out of one channel is short."""

    def shorten(doing: str) -> None:
        monkeypatch.setattr(senders, "ALL_SECONDS", 0.3 if "desk" in doing else 60)

    second = Hook()
    monkeypatch.setenv("REGIME_NOTIFY_SECOND", second.url)
    monkeypatch.setenv("REGIME_NOTIFY_SECOND_KINDS", "transition")
    found, _ = channels.from_environment(os.environ)
    delivery.plan(database, found, date(2011, 1, 1))
    hook.held.set()
    done = list(delivery.send(database, found, progress=shorten))
    hook.held.clear()
    second.stop()
    ids = expected_ids(database)
    assert [each.error for each in done if each.channel == "desk"] == [
        "no answer within 0.3 seconds"
    ]
    assert second.ids == ids
    assert states(database, "second") == {"DELIVERED": len(ids)}
    assert states(database) == {"WAITING": len(ids)}
