"""The channels of `regime notify` as the environment configures them, and the shapes of a message."""

import json
from dataclasses import replace

import pytest

from regime_engine.notify import channels, formats, outbox
from regime_engine.notify.formats import EXAMPLE

SECRET = "T0K3N"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("", "htps://{}", "has to begin with https://"),
        ("", "https://{}@exa mple.org", "is not a URL with a host"),
        ("", "https://me:{}@:80/", "is not a URL with a host"),
        ("", "https://example.org:{}/", "is not a URL with a host"),
        ("", "https://example.org/ü{}", "is not a URL with a host"),
        ("", "smtp://me:{}@mail.example.org", "does not say from whom and to whom"),
        ("", "smtp://me:{}@h?from=a&to=b@c.org", "an address that is not like name@example"),
        ("", "smtps://h?from=a@b.org&to=b@c.org&cc={}", "has more than a server"),
        ("", "postgres:{}!", "write postgres:CHANNEL"),
        ("", "command:'{}", "an open quotation mark"),
        ("_KINDS", "transition,novelties", "novelties: the kinds are transition, retraction"),
        ("_TEMPLATE", "/nowhere", "neither one of json, slack, teams nor a text file"),
    ],
)  # fmt: skip
def test_a_channel_that_cannot_be_read_is_named_without_its_secret(variable, value, said):
    environment = {
        "REGIME_NOTIFY_DESK": f"https://example.org/{SECRET}",
        "REGIME_NOTIFY_OTHER": "https://example.org",
        f"REGIME_NOTIFY_OTHER{variable}": value.format(SECRET),
    }
    found, (fault,) = channels.from_environment(environment)
    assert [channel.name for channel in found] == ["desk"]
    assert fault.startswith(f"REGIME_NOTIFY_OTHER{variable} ")
    assert said in fault
    assert SECRET not in fault + repr(found)


def test_an_option_without_its_channel_is_named():
    given = {"REGIME_NOTIFY_DESK": "postgres:desk", "REGIME_NOTIFY_DESC_KINDS": "stale"}
    found, faults = channels.from_environment(given)
    assert len(found) == 1
    assert faults == [
        "REGIME_NOTIFY_DESC_KINDS is set, but REGIME_NOTIFY_DESC is not: set that too"
    ]


def test_a_template_that_gives_no_json_is_refused(tmp_path):
    file = tmp_path / "own"
    for text, said in (
        ('{"content": {{ message.title }}}', "tojson"),
        ("{{ message.titel | tojson }}", "titel"),
        ("{{ message.title", "unexpected end of template"),
    ):
        file.write_text(text)
        given = {"REGIME_NOTIFY_D": "https://example.org", "REGIME_NOTIFY_D_TEMPLATE": str(file)}
        _, (fault,) = channels.from_environment(given)
        assert fault.startswith("REGIME_NOTIFY_D_TEMPLATE: the template ")
        assert said in fault
        assert "\n" not in fault


def test_a_name_can_neither_call_a_channel_of_slack_nor_add_a_header_to_a_mail():
    news = replace(EXAMPLE.notification, region='<!channel> & "\r\nBcc: everybody@example.org')
    told = formats.message(news, "markets")
    slack = json.loads(formats.webhook(formats.template("slack"), told))
    assert slack["text"].startswith('&lt;!channel&gt; &amp; "')
    letter = formats.mail(told, "a@b.org", ("c@d.org",))
    assert letter["Bcc"] is None
    assert "Bcc: everybody" in letter["Subject"]


def test_a_payload_that_postgres_would_refuse_is_shortened():
    news = replace(EXAMPLE.notification, kind="run_failed", document={"error": "ü" * 9000})
    payload = formats.payload(formats.message(news, "markets"))
    assert len(payload.encode()) < 8000
    assert json.loads(payload)["id"] == news.notification_id


def test_a_document_that_the_engine_did_not_write_is_told_as_it_is():
    told = formats.message(replace(EXAMPLE.notification, document={"a": 1}), "markets")
    assert (told.title, told.text) == ("transition TEST on 2008-09-15", '{"a": 1}')


def test_every_kind_has_words():
    assert set(formats._WORDS) == set(formats.KINDS)


def test_retractions_go_where_transitions_go():
    given = {"REGIME_NOTIFY_DESK": "postgres:desk", "REGIME_NOTIFY_DESK_KINDS": "transition"}
    (desk,), _ = channels.from_environment(given)
    assert desk.kinds == ("transition", "retraction")


def test_the_pauses_double_up_to_six_hours():
    minutes = [outbox.pause_after(n).total_seconds() / 60 for n in (1, 2, 3, 4, 9, 10, 10_000)]
    assert minutes == [1, 2, 4, 8, 256, 360, 360]


def test_a_connection_that_is_not_encrypted_is_asked_for_by_its_scheme():
    given = {
        "REGIME_NOTIFY_ONE": "smtp://mail.example.org?from=a@b.org&to=c@d.org,e@f.org",
        "REGIME_NOTIFY_TWO": "smtps://me:p%40ss@mail.example.org:2465?from=a@b.org&to=c@d.org",
        "REGIME_NOTIFY_WEB": "https://me:p%40ss@[::1]:8443/hook?a=b",
    }
    (one, two, web), faults = channels.from_environment(given)
    assert not faults
    assert (one.port, one.is_encrypted, one.credentials) == (587, False, None)
    assert one.recipients == ("c@d.org", "e@f.org")
    assert (two.port, two.is_encrypted, two.credentials) == (2465, True, ("me", "p@ss"))
    assert (web.url, web.credentials) == ("https://[::1]:8443/hook?a=b", ("me", "p@ss"))
