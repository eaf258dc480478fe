"""Sends one message to one channel.

What a server answers is not quoted, since it may repeat an address with a secret in it.
"""

import base64
import contextlib
import http.client
import os
import smtplib
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from regime_engine import __version__
from regime_engine.database import Database, explain
from regime_engine.errors import RegimeError
from regime_engine.notify import formats
from regime_engine.notify.channels import PREFIX, Channel, Command, Listeners, Mail, Webhook
from regime_engine.notify.formats import Message

# For each answer, and for all of it: a server may send a byte now and then.
ANSWER_SECONDS, ALL_SECONDS = 10, 30


class NotSent(Exception):
    """A channel did not take a message. The text has no secret.

    is_of_channel: no other message would get through now either
    """

    def __init__(self, reason: str, is_of_channel: bool = True):
        super().__init__(reason)
        self.is_of_channel = is_of_channel


def send(database: Database, channel: Channel, told: Message) -> str | None:
    """Send a message; returns what of it failed, None if nothing did.

    A NOTIFY goes out with the transaction that the caller has begun.

    raises NotSent
    """
    match channel:
        case Listeners():
            _notify(database, channel, told)
        case Webhook():
            return _in_time(lambda: _post(channel, told))
        case Mail():
            return _in_time(lambda: _mail(channel, told))
        case Command():
            _run(channel, told)
    return None


def _notify(database: Database, channel: Listeners, told: Message) -> None:
    try:
        with database.transaction():
            payload = [channel.channel, formats.payload(told)]
            database.execute("select pg_catalog.pg_notify(%s, %s)", payload)
    except psycopg.Error as error:
        raise NotSent(explain(error) or "the database refused") from None


def _in_time(act: Callable[[], str | None]) -> str | None:
    """What the call returns. raises NotSent if it takes too long; the thread is left behind then

    The time-out of a socket neither counts the look-up of a name nor all answers together.
    """
    result: list[str | None] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            result.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="regime-notify")
    thread.start()
    thread.join(ALL_SECONDS)
    if errors:
        raise errors[0]
    if not result:
        raise NotSent(f"no answer within {ALL_SECONDS} seconds")
    return result[0]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without the message, and its answer a success."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(channel: Webhook, told: Message) -> None:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"regime-engine/{__version__}",
        "Idempotency-Key": told.notification.notification_id,
    }
    if channel.credentials:
        pair = base64.b64encode(":".join(channel.credentials).encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    try:
        body = formats.webhook(channel.template, told)
    except RegimeError as error:
        raise NotSent(str(error), is_of_channel=False) from None
    request = urllib.request.Request(channel.url, body, headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        opener.open(request, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise _of_status(error.code) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotSent(_reason(error)) from None


def _of_status(code: int) -> NotSent:
    name = http.client.responses.get(code, "")
    advice = {
        3: ": the address has moved; set the one that it leads to",
        4: ": check the address, and whether the channel needs a template",
    }
    waits = code in (408, 425, 429) or code >= 500
    text = f"the server answered {code} {name}".rstrip()
    if not waits:
        text += advice.get(code // 100, "")
    # What the server dislikes about one message need not be true of the next.
    return NotSent(text, is_of_channel=code not in (400, 413, 422))


def _mail(channel: Mail, told: Message) -> str | None:
    letter = formats.mail(told, channel.sender, channel.recipients)
    try:
        server = _logged_in(channel)
        try:
            refused = server.send_message(letter, channel.sender, channel.recipients)
            # The mail is accepted, whatever is said at parting.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"the mail server refused the login ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(
            f"the mail server refused every recipient ({_codes(error.recipients)})"
        ) from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the mail server refused the mail ({error.smtp_code})") from None
    except smtplib.SMTPServerDisconnected:
        raise NotSent("the mail server ended the connection") from None
    except smtplib.SMTPNotSupportedError:
        raise NotSent("the mail server takes no login, or no such address") from None
    except (OSError, ValueError) as error:
        raise NotSent(_reason(error)) from None
    if refused:
        n, all_of_them = len(refused), len(channel.recipients)
        return f"the mail server refused {n} of {all_of_them} recipients ({_codes(refused)})"
    return None


def _logged_in(channel: Mail) -> smtplib.SMTP:
    """A connection to the mail server, encrypted if the server can.

    As among mail servers, its certificate is checked only if there is a password to protect.
    """
    context = ssl.create_default_context()
    if not (channel.is_encrypted or channel.credentials):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if channel.is_encrypted:
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            channel.host, channel.port, timeout=ANSWER_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(channel.host, channel.port, timeout=ANSWER_SECONDS)
    try:
        server.ehlo()
        if not channel.is_encrypted:
            if server.has_extn("starttls"):
                server.starttls(context=context)
            elif channel.credentials:
                raise NotSent(
                    "the mail server offers no encryption, so the password is not sent to it: use "
                    "smtps://, or a server that offers STARTTLS"
                )
        if channel.credentials:
            server.login(*channel.credentials)
    except BaseException:
        server.close()
        raise
    return server


def _codes(refused: Mapping[str, tuple[int, bytes]]) -> str:
    """What the server said of the recipients that it refused: 550, 551"""
    return ", ".join(sorted({str(code) for code, _ in refused.values()}))


def _run(channel: Command, told: Message) -> None:
    """The program gets our environment without the channels. What it prints goes to stderr."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    document = formats.webhook("{{ message | tojson }}", told)
    try:
        program = subprocess.Popen(
            channel.words,
            stdin=subprocess.PIPE,
            stdout=2,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NotSent(f"the program cannot be started: {_reason(error)}") from None
    try:
        program.communicate(document, timeout=ALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotSent(f"the program did not end within {ALL_SECONDS} seconds") from None
    finally:
        if program.poll() is None:
            os.killpg(program.pid, 9)
            program.wait()
    if program.returncode:
        raise NotSent(f"the program ended with exit code {program.returncode}")


def _reason(error: BaseException) -> str:
    """Why no answer came, without the address."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    match reason:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted: {reason.verify_message}"
        case ssl.SSLError():
            return f"no encrypted connection ({reason.reason})"
        case TimeoutError():
            return f"no answer within {ANSWER_SECONDS} seconds"
        case socket.gaierror():
            return "the name of the server is not known"
        case OSError() if reason.strerror:
            return reason.strerror.lower()
    return f"no answer that can be read ({type(reason).__name__})"
