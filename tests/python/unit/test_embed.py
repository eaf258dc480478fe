"""`regime embed` without a database: its arguments, its shards and its progress."""

import hashlib
import io
from itertools import product
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from regime_engine.cli import progress, regime
from regime_engine.engine import market
from regime_engine.engine.market import Tally


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --all or --instrument-id"),
        (("--all", "--instrument-id", "SYN01"), "give either --all or --instrument-id"),
        (("--all", "--shard", "0/3"), "'0/3' is not i/n"),
        (("--all", "--shard", "4/3"), "'4/3' is not i/n"),
        (("--all", "--shard", "half"), "'half' is not i/n"),
        (("--all", "--as-of", "2018-06-01", "--start", "2018-06-01"), "either --as-of or"),
        (("--all", "--start", "2018-06-02", "--end", "2018-06-01"), "is after --end"),
        (("--all", "--workers", "0"), "--workers"),
        (("--all", "--workers", "2", "--scheduler", "tcp://x:1"), "either --workers or"),
    ],
)
def test_wrong_usage_gets_a_line(arguments, message):
    result = CliRunner().invoke(regime, ["embed", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_each_instrument_is_in_one_shard():
    for n in (1, 2, 7):
        pairs = product(map(str, range(100)), range(1, n + 1))
        assert sum(market.in_shard(name, (i, n)) for name, i in pairs) == 100
    number = int(hashlib.sha256(b"SYN01").hexdigest()[:16], 16)
    assert market.in_shard("SYN01", (number % 5 + 1, 5))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, seconds: list[float]) -> str:
    """The progress of a run of 100 instruments; at each of the seconds ten more are done."""
    clock = iter([0, *seconds])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("click.get_text_stream", lambda name: stream)
    monkeypatch.setattr("sys.stderr", stream)
    show = progress.instruments_progress()
    for done in range(1, len(seconds) + 1):
        show(Tally(10 * done, 500 * done), 100)
    return stream.getvalue()


def test_off_a_terminal_progress_is_a_line_a_minute(monkeypatch):
    seconds = [20, 40, 59, 61, 100, 120, 122, 180, 190, 200]
    assert shown(monkeypatch, io.StringIO(), seconds) == (
        "embed: 40/100 instruments, 33 windows/s, 92 s left\n"
        "embed: 70/100 instruments, 29 windows/s, 52 s left\n"
        "embed: 90/100 instruments, 24 windows/s, 21 s left\n"
    )


def test_on_a_terminal_progress_is_a_bar_that_ends_with_a_line_break(monkeypatch):
    seconds = [1, 2, 3, 4, 4.01, 6, 7, 8, 9, 10]
    *_, last_but_one, last = shown(monkeypatch, Terminal(), seconds).split("\r\x1b[K")
    assert last_but_one == f"[{27 * '#'}...] 90/100 instruments, 500 windows/s, 1 s left"
    assert last == f"[{30 * '#'}] 100/100 instruments, 500 windows/s, 0 s left\n"
