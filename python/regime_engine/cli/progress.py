"""How far a long command is, on stderr."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from regime_engine.cli.output import printable, say

if TYPE_CHECKING:
    from regime_engine.engine.market import Tally

BAR_WIDTH = 30
SECONDS_BETWEEN_DRAWS = 0.1
SECONDS_BETWEEN_LOG_LINES = 60
SECONDS_OF_SILENCE = 3

Item = TypeVar("Item")


def windows_progress(region: str) -> Callable[[int, int], None]:
    """A callback of windows done and in all: a bar on a terminal, silent elsewhere."""
    stream = click.get_text_stream("stderr")
    if not stream.isatty():
        return lambda done, total: None

    def draw(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        stream.write(f"\r{printable(region)} {_bar(done, total)} {done:,}/{total:,}{end}")
        stream.flush()

    return draw


@contextlib.contextmanager
def files_progress(files: int) -> Iterator[Callable[[], None]]:
    """A callback for each of two steps of each file: a bar on a terminal, silent elsewhere."""
    stream = click.get_text_stream("stderr")
    if not stream.isatty():
        yield lambda: None
        return
    steps = 0

    def draw() -> None:
        nonlocal steps
        steps += 1
        stream.write(f"\r\x1b[K{_bar(steps, 2 * files)} {(steps + 1) // 2:,}/{files:,} files\r")
        stream.flush()

    try:
        yield draw
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


def instruments_progress() -> Callable[["Tally", int], None]:
    """A callback of the tally so far and the instruments in all: a bar on a terminal, elsewhere a
    line a minute."""
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
    """The items; a line on stderr if the first of them is not there within three seconds."""
    line = threading.Timer(SECONDS_OF_SILENCE, say, [text], {"err": True})
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
