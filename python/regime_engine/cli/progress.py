"""How far a long command is, on stderr."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Timer
from typing import TYPE_CHECKING, Self, TypeVar

import click

from regime_engine.cli.output import printable, say

if TYPE_CHECKING:
    from regime_engine.engine.market import Tally

BAR_WIDTH = 30
SECONDS_BETWEEN_DRAWS = 0.1
SECONDS_BETWEEN_LOG_LINES = 60
SECONDS_OF_SILENCE = 2  # with the start of Python, a wait is not longer than three

Item = TypeVar("Item")


class Phases:
    """What a command does at the moment: a bar on a terminal, elsewhere a line for each phase that
    takes a while.

    After an interruption it says what is done, also where it is quiet.
    """

    def __init__(self, quiet: bool = False):
        self._stream = click.get_text_stream("stderr")
        self._is_quiet = quiet
        self._is_terminal = self._stream.isatty()
        self._line_is_open = False
        self._timer: Timer | None = None
        self._finished: list[str] = []
        self._doing = ""
        self._count = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            parts = [f" while {self._doing}{self._count}"] if self._doing else []
            if self._finished:
                parts.append(f" finished before: {', '.join(self._finished)}")
            self.end()
            click.echo(
                f"interrupted{';'.join(parts)}. What is stored is complete: run the command again, "
                "and it continues.",
                file=self._stream,
            )
        else:
            self.end()

    def begin(self, doing: str) -> Callable[..., None]:
        """End the phase before and begin one; gives a callback of how many are done, how many there
        are, and the name of the one at work."""
        self.end()
        # The name of a region can be anything.
        doing = printable(doing)
        self._doing, self._count = doing, ""
        if self._is_terminal:
            self._draw(doing)
        elif not self._is_quiet:
            self._timer = Timer(SECONDS_OF_SILENCE, self._say, [doing])
            self._timer.daemon = True
            self._timer.start()

        def show(done: int, total: int, name: str = "") -> None:
            self._count = f", {done:,} of {total:,} done"
            self._draw(f"{doing} {_bar(done, total)} {done:,}/{total:,} {name}".rstrip())

        return show

    def end(self) -> None:
        """End the phase, so that something else can be printed."""
        self._close_line()
        if self._timer:
            self._timer.cancel()
        if self._doing:
            self._finished.append(self._doing)
        self._doing = ""

    def _say(self, doing: str) -> None:
        # Nobody may be there to read it.
        with contextlib.suppress(OSError, ValueError):
            click.echo(f"{doing} …", file=self._stream)

    def _draw(self, text: str) -> None:
        if self._is_terminal and not self._is_quiet:
            width = shutil.get_terminal_size().columns
            # One write, since dbt calls from several threads.
            self._stream.write(f"\r\x1b[K{text[: width - 1]}")
            self._stream.flush()
            self._line_is_open = True

    def _close_line(self) -> None:
        if self._line_is_open:
            self._stream.write("\n")
            self._stream.flush()
        self._line_is_open = False


def instruments_progress(quiet: bool = False) -> Callable[["Tally", int], None]:
    """A callback of the tally so far and the instruments in all: a bar on a terminal, elsewhere a
    line a minute."""
    if quiet:
        return lambda tally, instruments: None
    stream = click.get_text_stream("stderr")
    is_terminal = stream.isatty()
    begin = last = time.monotonic()

    def show(tally: "Tally", instruments: int) -> None:
        nonlocal last
        now = time.monotonic()
        is_done = tally.instruments >= instruments
        pause = SECONDS_BETWEEN_DRAWS if is_terminal else SECONDS_BETWEEN_LOG_LINES
        if now - last < pause and not (is_terminal and is_done):
            return
        last, elapsed = now, max(now - begin, 1e-3)
        rate = tally.windows / elapsed
        left = elapsed * (instruments / max(tally.instruments, 1) - 1)
        text = (
            f"{tally.instruments:,}/{instruments:,} instruments, {rate:,.0f} windows/s, "
            f"{left:,.0f} s left"
        )
        if is_terminal:
            end = "\n" if is_done else ""
            stream.write(f"\r\x1b[K{_bar(tally.instruments, instruments)} {text}{end}")
            stream.flush()
        else:
            say(f"embed: {text}", err=True)

    return show


def said_if_slow(text: str, items: Iterable[Item]) -> Iterator[Item]:
    """The items; a line on stderr if the first of them is not there soon."""
    line = Timer(SECONDS_OF_SILENCE, say, [text], {"err": True})
    line.daemon = True
    line.start()
    try:
        for item in items:
            line.cancel()
            yield item
    finally:
        line.cancel()


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * done // max(total, 1)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"
