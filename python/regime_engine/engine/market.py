"""Embeddings of many instruments: features are read, encoded and written in one stream.

The steps go on at the same time, each on the instruments that the step before is done with, so that
memory is bounded by a batch, whatever the size of the market:

    fetch (two threads): the features of a group of instruments, and what is stored of it
    encode (a thread): the windows that are not stored, or stored with another window_hash
    write (the caller's thread): a transaction a batch

A killed run resumes from what is already stored.
"""

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from typing import TypeVar

import numpy as np

from regime_engine import encoders, features, runs, seals, seeds, windows
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.engine import classify
from regime_engine.errors import RegimeError
from regime_engine.runs import Run
from regime_engine.series import GLOBAL, Series
from regime_engine.store import embeddings
from regime_engine.store.embeddings import Batch, Scope, Stored
from regime_engine.windows import Features, Stretch, Windows

BATCH_WINDOWS = 8192
# Instruments whose features are fetched at once.
GROUP_OF_HISTORIES, GROUP_OF_DAYS = 16, 256
FEW_DAYS = 30
MARK_AT_GROWTH = 1.1  # of what a process has written: few times, however large the market

Item = TypeVar("Item")


@dataclass(frozen=True)
class Request:
    """What is asked of each instrument.

    recompute: encode every window and compare whole rows, instead of trusting an equal window_hash
    classify: also write the regimes of each instrument, as a region of its own
    """

    model_id: str
    stretch: Stretch
    recompute: bool = False
    classify: bool = False


@dataclass(frozen=True)
class Tally:
    """What became of some instruments.

    windows: how many were asked for; written: table → rows inserted or replaced
    failures: instrument_id → why it could not be embedded
    hashes: instrument_id → the hash over the embeddings that the run wrote of it
    unhashed: instruments whose embeddings of the run have to be read to make that hash
    """

    instruments: int = 0
    windows: int = 0
    written: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    unhashed: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        tables = sorted(self.written.keys() | other.written.keys())
        return Tally(
            instruments=self.instruments + other.instruments,
            windows=self.windows + other.windows,
            written={t: self.written.get(t, 0) + other.written.get(t, 0) for t in tables},
            failures=self.failures | other.failures,
            hashes=self.hashes | other.hashes,
            unhashed=self.unhashed + other.unhashed,
        )


def in_shard(instrument_id: str, shard: tuple[int, int]) -> bool:
    """Whether an instrument is in shard i of n: the first 8 bytes of its sha-256, modulo n."""
    i, n = shard
    digest = hashlib.sha256(instrument_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % n == i - 1


def embed(
    database: Database,
    request: Request,
    instrument_ids: list[str] | None,
    shard: tuple[int, int],
    run_all: Callable[[Run, list[str]], Iterable[Tally]],
    progress: Callable[[Tally, int], None] = lambda tally, instruments: None,
) -> Tally:
    """Embed instruments as one run of the ledger.

    instrument_ids: None for all that have prices
    run_all: embeds the instruments, here or elsewhere, and gives tallies as work is done
    progress: called with the tally so far and how many instruments there are

    raises RegimeError for an unknown encoder, a window length it does not read, or no prices at all
    """
    # Refuses before the ledger has a run.
    encoders.get(request.model_id, request.stretch.window_days)
    asked = {name: value for name, value in vars(request).items() if name != "stretch"}
    asked |= {"instrument_ids": instrument_ids or "all", "shard": "/".join(map(str, shard))}
    with runs.ledger(database, "embed", vars(request.stretch) | asked) as run:
        known = instrument_ids or features.instruments(database)
        if not known:
            raise RegimeError("there are no prices: load them with `regime load`")
        chosen = [instrument_id for instrument_id in known if in_shard(instrument_id, shard)]
        total = Tally()
        for tally in run_all(run, chosen):
            total += tally
            progress(total, len(chosen))
        runs.record_failures(database, run, total.failures)
        if total.hashes:
            read = seals.hashes(database, run.run_id, embeddings.EMBEDDINGS.name, total.unhashed)
            contents = {embeddings.EMBEDDINGS.name: seals.combined(total.hashes | read)}
            runs.record_contents(database, run, contents)
    embeddings.mark_visible(database)
    return total


def embed_instruments(
    settings: Settings, request: Request, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embed instruments in a stream on connections of its own; a tally a batch."""
    if request.classify:
        yield from _classify(settings, request, run, instrument_ids)
        return
    groups = _groups(request.stretch, instrument_ids)
    columns = encoders.get(request.model_id).COLUMNS
    first, last = request.stretch.span
    scope = Scope(request.model_id, request.stretch.window_days, first, last)
    with contextlib.ExitStack() as stack:

        def ahead(items: Iterable[Item]) -> Iterator[Item]:
            # Closed before the connections are, however the stream ends.
            return stack.enter_context(contextlib.closing(_ahead(items)))

        reader, stored_reader, writer = (stack.enter_context(connect(settings)) for _ in range(3))
        found = ahead(features.fetch(reader, group, columns, request.stretch) for group in groups)
        stored = ahead(embeddings.fetch(stored_reader, run, group, scope) for group in groups)
        encoded = ahead(_encode(run, request, zip(found, stored, strict=True)))
        rows, rows_marked = 0, 0
        for batch, tally in encoded:
            if batch.is_to_be_written:
                written = embeddings.write(writer, run, scope, batch)
                tally += Tally(
                    written={embeddings.EMBEDDINGS.name: written.n_rows}, hashes=written.hashes
                )
                rows += written.n_rows
            if batch.has_own or (batch.is_to_be_written and not written.hashes):
                tally += Tally(unhashed=tuple(batch.instrument_ids))
            # The new pages are still in memory; later each would be read and logged again.
            if rows > MARK_AT_GROWTH * rows_marked:
                embeddings.mark_visible(writer)
                rows_marked = rows
            yield tally


def _classify(
    settings: Settings, request: Request, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embeddings and regimes, instrument by instrument, as `regime backfill` writes them."""
    with connect(settings) as database:
        regions = seeds.regions(database)
        for instrument_id in instrument_ids:
            series = Series(instrument_id, request.model_id, request.stretch.window_days)
            try:
                _require_own_region(regions, instrument_id)
                task = classify.Task(series, request.stretch, instrument_id)
                done = classify.classify(database, run, task)
                yield Tally(1, done.n_windows, done.written)
            except RegimeError as error:
                yield Tally(1, failures={instrument_id: str(error)})


def _require_own_region(regions: dict[str, seeds.Region], instrument_id: str) -> None:
    """raises RegimeError if the regimes would be written among those of another instrument"""
    named = regions.get(instrument_id)
    if instrument_id == GLOBAL or (named and named.instrument_id != instrument_id):
        whose = f"{named.instrument_id}, which is another instrument" if named else "the vote"
        raise RegimeError(
            f"{instrument_id} is also the region of {whose}: leave --classify out for it, or give "
            "that region another name"
        )


def _groups(stretch: Stretch, instrument_ids: list[str]) -> list[list[str]]:
    # A stretch without an end ends with the prices, which is today at the latest.
    first, last = stretch.start or date.min, stretch.end or datetime.now(UTC).date()
    size = GROUP_OF_DAYS if (last - first).days <= FEW_DAYS else GROUP_OF_HISTORIES
    return [instrument_ids[begin : begin + size] for begin in range(0, len(instrument_ids), size)]


def _encode(
    run: Run, request: Request, fetched: Iterable[tuple[list[Features], list[Stored]]]
) -> Iterator[tuple[Batch, Tally]]:
    """Batches of whole instruments, and what became of the instruments in them."""
    for group, stored_of_group in fetched:
        parts, failures = [], {}
        for found, stored in zip(group, stored_of_group, strict=True):
            try:
                asked = windows.build(found, request.stretch)
            except RegimeError as error:
                failures[found.instrument_id] = str(error)
            else:
                parts.append(_Part(asked, stored, _is_wanted(asked, stored, request)))
        if failures:
            yield Batch(), Tally(len(failures), failures=failures)
        for together in _by_windows(parts):
            yield _encode_batch(run, request, together)


@dataclass(frozen=True)
class _Part:
    """An instrument's windows, and which of them have to be encoded: (n,) bool."""

    asked: Windows
    stored: Stored
    is_wanted: np.ndarray


def _is_wanted(asked: Windows, stored: Stored, request: Request) -> np.ndarray:
    if request.recompute or not len(stored.as_of_dates):
        return np.ones(len(asked), bool)
    hashes = embeddings.hash_text(asked.hashes).view("S16")[:, 0]
    nearest = np.searchsorted(stored.as_of_dates, asked.as_of_dates)
    nearest = np.minimum(nearest, len(stored.as_of_dates) - 1)
    is_same_day = stored.as_of_dates[nearest] == asked.as_of_dates
    return ~(is_same_day & (stored.window_hashes[nearest] == hashes))


def _by_windows(parts: list[_Part]) -> Iterator[list[_Part]]:
    """Parts in order, together until they have a batch of windows to encode."""
    together, size = [], 0
    for part in parts:
        together.append(part)
        size += part.is_wanted.sum()
        if size >= BATCH_WINDOWS:
            yield together
            together, size = [], 0
    if together:
        yield together


def _encode_batch(run: Run, request: Request, parts: list[_Part]) -> tuple[Batch, Tally]:
    encoder = encoders.get(request.model_id)
    wanted = [part.asked if part.is_wanted.all() else part.asked[part.is_wanted] for part in parts]
    vectors = encoder.encode(np.concatenate([part.values for part in wanted]))
    bounds = np.cumsum([len(part) for part in wanted])[:-1]
    batch = Batch(
        has_orphans=any(part.stored.has_orphans for part in parts),
        has_own=any(part.stored.has_own for part in parts),
    )
    failures: dict[str, str] = {}
    for part, found, of_part in zip(parts, wanted, np.split(vectors, bounds), strict=True):
        instrument_id = part.asked.instrument_id
        try:
            windows.require_finite(encoder, found, of_part)
        except RegimeError as error:
            failures[instrument_id] = str(error)
            continue
        batch.instrument_ids.append(instrument_id)
        if len(found):
            batch.rows[instrument_id] = embeddings.pack(run, request.model_id, found, of_part)
        gone = np.setdiff1d(part.stored.as_of_dates, part.asked.as_of_dates, assume_unique=True)
        batch.vanished.extend((instrument_id, as_of) for as_of in gone.tolist())
    n_windows = sum(len(part.asked) for part in parts)
    return batch, Tally(len(parts), n_windows, failures=failures)


def _ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items in order; a thread makes the next one while the caller works on this one."""
    iterator = iter(items)
    thread = ThreadPoolExecutor(1)

    def following() -> list[Item]:
        return list(islice(iterator, 1))

    try:
        made = thread.submit(following)
        while item := made.result():
            made = thread.submit(following)
            yield from item
    finally:
        thread.shutdown(cancel_futures=True)
