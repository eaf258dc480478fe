"""Where people are told: the channels that the environment configures, one a variable.

`REGIME_NOTIFY_<NAME>` holds an address whose beginning says what kind of channel it is. It may hold
a password or a secret path, so no message quotes it.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from regime_engine.errors import RegimeError
from regime_engine.notify import formats

PREFIX = "REGIME_NOTIFY_"
# What is appended to the variable of a channel → what it sets.
TEMPLATE, KINDS = "_TEMPLATE", "_KINDS"
BEGINNINGS = "https://, http://, smtp://, smtps://, postgres: or command:"
PORT_OF_SMTP, PORT_OF_SMTPS = 587, 465


@dataclass(frozen=True)
class Webhook:
    """An HTTP address that takes a POST of JSON.

    template: the Jinja template of the JSON
    credentials: user and password of HTTP's basic authentication
    """

    name: str
    kinds: tuple[str, ...]
    url: str = field(repr=False)
    template: str = field(repr=False)
    credentials: tuple[str, str] | None = field(repr=False)


@dataclass(frozen=True)
class Mail:
    """A mail server. is_encrypted: from the first byte; otherwise by STARTTLS

    credentials: user and password
    """

    name: str
    kinds: tuple[str, ...]
    host: str
    port: int
    is_encrypted: bool
    credentials: tuple[str, str] | None = field(repr=False)
    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Listeners:
    """Those who LISTEN to a channel of the database itself."""

    name: str
    kinds: tuple[str, ...]
    channel: str


@dataclass(frozen=True)
class Command:
    """A program that reads the JSON on its standard input."""

    name: str
    kinds: tuple[str, ...]
    words: tuple[str, ...] = field(repr=False)


Channel: TypeAlias = Webhook | Mail | Listeners | Command


def from_environment(environment: Mapping[str, str]) -> tuple[list[Channel], list[str]]:
    """The configured channels by name, and what is wrong with those that cannot be used.

    raises RegimeError if nothing is configured
    """
    values = {
        name.removeprefix(PREFIX): value.strip()
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX) and value.strip()
    }
    if not values:
        raise RegimeError(
            "no channel is configured, so nobody is told: set a variable such as "
            f"{PREFIX}<NAME>=https://… (it begins with {BEGINNINGS})"
        )
    channels: dict[str, Channel] = {}
    faults = []
    for name in values:
        try:
            if name.endswith((TEMPLATE, KINDS)):
                _require_channel(name, values)
            else:
                channel = _channel(name, values)
                if channel.name in channels:
                    raise RegimeError(f"{PREFIX}{name} is set twice, in capitals and not: keep one")
                channels[channel.name] = channel
        except RegimeError as error:
            faults.append(str(error))
    return list(channels.values()), faults


def _require_channel(option: str, values: Mapping[str, str]) -> None:
    """raises RegimeError if what an option is of is not there"""
    name = option.removesuffix(TEMPLATE).removesuffix(KINDS)
    if name not in values:
        raise RegimeError(f"{PREFIX}{option} is set, but {PREFIX}{name} is not: set that too")


def _channel(name: str, values: Mapping[str, str]) -> Channel:
    variable, address = PREFIX + name, values[name]
    if not re.fullmatch("[A-Za-z0-9_]+", name):
        raise RegimeError(f"{variable} has a name with other characters than letters, digits and _")
    kinds = _kinds(variable + KINDS, values.get(name + KINDS))
    beginning, _, rest = address.partition(":")
    match beginning.lower():
        case "http" | "https":
            template = _template(variable + TEMPLATE, values.get(name + TEMPLATE, "json"))
            url, credentials = _url(variable, address)
            return Webhook(name.lower(), kinds, url.geturl(), template, credentials)
        case _ if name + TEMPLATE in values:
            raise RegimeError(f"{variable}{TEMPLATE} is set, but {variable} is no webhook")
        case "smtp" | "smtps":
            return _mail(variable, name.lower(), kinds, address)
        case "postgres":
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,62}", rest):
                raise RegimeError(
                    f"{variable} names no channel of Postgres: write postgres:CHANNEL, with up to "
                    "63 letters, digits and _"
                )
            return Listeners(name.lower(), kinds, rest)
        case "command":
            return Command(name.lower(), kinds, _words(variable, rest))
    raise RegimeError(f"{variable} has to begin with {BEGINNINGS}")


def _kinds(variable: str, listed: str | None) -> tuple[str, ...]:
    if listed is None:
        return formats.KINDS
    kinds = tuple(kind.strip() for kind in listed.split(",") if kind.strip())
    unknown = [kind for kind in kinds if kind not in formats.KINDS]
    if unknown or not kinds:
        # An address may have been put here by mistake, and has a secret.
        named = [kind for kind in unknown if "://" not in kind]
        raise RegimeError(
            f"{variable} lists {', '.join(named) or 'no kind'}: the kinds are "
            f"{', '.join(formats.KINDS)}"
        )
    # Who was told of a change is told that there was none.
    return (*kinds, "retraction") if "transition" in kinds else kinds


def _template(variable: str, name: str) -> str:
    """The text of a template: one of ours by its name, or a file."""
    text = formats.template(name)
    if text is None:
        try:
            with open(name, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(formats.TEMPLATES)
            raise RegimeError(
                f"{variable} is neither one of {known} nor a text file that can be read"
                + ("" if "://" in name else f": {name}")
            ) from error
    try:
        formats.webhook(text, formats.EXAMPLE)
    except RegimeError as error:
        raise RegimeError(f"{variable}: {error}") from error
    return text


def _url(variable: str, address: str) -> tuple[SplitResult, tuple[str, str] | None]:
    """The URL without the user and the password in it, and these two.

    raises RegimeError if it is no URL with a host
    """
    try:
        if re.search(r"[\s\x00-\x1f\x7f]", address):
            raise ValueError
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        if not host:
            raise ValueError
        host = host.encode("idna").decode()
        if not parts.path.isascii() or not parts.query.isascii():
            raise ValueError
    except ValueError:
        raise RegimeError(
            f"{variable} is not a URL with a host: write special characters of a password or a "
            "path in percent-encoding (a blank is %20, '@' is %40)"
        ) from None
    at = host if ":" not in host else f"[{host}]"
    credentials = None
    if parts.username is not None:
        credentials = unquote(parts.username), unquote(parts.password or "")
    bare = parts._replace(netloc=at if port is None else f"{at}:{port}", fragment="")
    return bare, credentials


def _mail(variable: str, name: str, kinds: tuple[str, ...], address: str) -> Mail:
    url, credentials = _url(variable, address)
    query = parse_qs(url.query)
    recipients = [each for listed in query.get("to", []) for each in listed.split(",") if each]
    senders = query.get("from", [])
    for each in (*senders, *recipients):
        if not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", each):
            raise RegimeError(
                f"{variable} has an address that is not like name@example after from= or to="
            )
    if set(query) - {"from", "to"} or url.path.strip("/"):
        raise RegimeError(
            f"{variable} has more than a server, from= and to=: write "
            f"{url.scheme}://HOST?from=ADDRESS&to=ADDRESS"
        )
    if len(senders) != 1 or not recipients:
        raise RegimeError(
            f"{variable} does not say from whom and to whom: append ?from=ADDRESS&to=ADDRESS (more "
            "than one recipient: separated by commas)"
        )
    is_encrypted = url.scheme == "smtps"
    port = url.port or (PORT_OF_SMTPS if is_encrypted else PORT_OF_SMTP)
    return Mail(
        name=name,
        kinds=kinds,
        host=str(url.hostname),
        port=port,
        is_encrypted=is_encrypted,
        credentials=credentials,
        sender=senders[0],
        recipients=tuple(recipients),
    )


def _words(variable: str, line: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(line))
    except ValueError:
        words = ()
    if not words:
        raise RegimeError(
            f"{variable} has no program, or an open quotation mark: write command:/path/to/program "
            "and its arguments"
        )
    return words
