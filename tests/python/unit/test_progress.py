"""How far a command is, on stderr: on a terminal and elsewhere."""

import io
from threading import Timer
from types import SimpleNamespace

import pytest

from regime_engine.cli import progress
from regime_engine.engine.market import Tally


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


class TimeFlies(Timer):
    def start(self) -> None:
        self.function(*self.args)


@pytest.fixture(params=[Terminal, io.StringIO])
def stream(request, monkeypatch) -> io.StringIO:
    stream = request.param()
    monkeypatch.setattr("click.get_text_stream", lambda name: stream)
    monkeypatch.setattr(progress, "Timer", TimeFlies)
    monkeypatch.setenv("COLUMNS", "60")
    return stream


def night(quiet: bool = False) -> None:
    """Two phases, and an interruption in the second."""
    with progress.Phases(quiet) as phases:
        build = phases.begin("building the features")
        for done in range(3):
            build(done, 3, "a_model")
        audit = phases.begin("auditing")
        audit(1, 4, "a_test_of_a_name_that_is_longer_than_the_line_of_the_terminal")
        raise KeyboardInterrupt


INTERRUPTED = (
    "interrupted while auditing, 1 of 4 done; finished before: building the features. What is stored "
    "is complete: run the command again, and it continues.\n"
)


def test_phases_are_shown_and_an_interruption_says_what_is_done(stream):
    with pytest.raises(KeyboardInterrupt):
        night()
    *shown, interrupted, _ = stream.getvalue().split("\n")
    assert interrupted == INTERRUPTED.rstrip()
    if not stream.isatty():
        assert shown == ["building the features …", "auditing …"]
        return
    build, audit = (line.split("\r\x1b[K")[1:] for line in shown)
    assert build[0] == "building the features"
    assert build[-1] == f"building the features [{20 * '#'}{10 * '.'}] 2/3 a_model"[:59]
    assert audit[-1].startswith(f"auditing [{7 * '#'}{23 * '.'}] 1/4 a_test_of")
    assert len(audit[-1]) == 59


def test_quiet_shows_nothing_but_an_interruption(stream):
    with pytest.raises(KeyboardInterrupt):
        night(quiet=True)
    assert stream.getvalue() == INTERRUPTED
    progress.instruments_progress(quiet=True)(Tally(10, 500), 10)
    assert stream.getvalue() == INTERRUPTED
