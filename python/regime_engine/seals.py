"""Seals of the ledger: what a run wrote, as hashes, and the chain of the runs that ended.

The contents of a run are hashes over the rows that it wrote. They are columns of the run, so its
row_hash is a digest of both. A seal is a hash of the run's number, of that digest and of the seal
before it. Who keeps one seal outside the database can prove later that nothing up to it changed.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from regime_engine.database import Database, row_hash
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError

SEAL_HASH = row_hash("%(seal_number)s::integer, row_hash, %(seal_before)s::text")
_LINE = re.compile(r"\bseal (\d{1,9}): ([0-9a-f]{64})\b")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Seal:
    """The seal of a run that ended.

    seal: 64 hex digits
    """

    seal_number: int
    seal: str
    run_id: uuid.UUID
    command: str
    finished_at: datetime

    def __str__(self) -> str:
        at = self.finished_at.astimezone(UTC)
        return (
            f"seal {self.seal_number}: {self.seal} (`regime {self.command}`, run {self.run_id}, "
            f"ended {at:%Y-%m-%d %H:%M:%S} UTC)"
        )


def newest(database: Database) -> Seal | None:
    """The seal of the run that ended last, None if none has ended."""
    found = database.rows("""
        select seal_number, seal, run_id, command, finished_at
        from {regime_runs}
        where seal_number is not null
        order by seal_number desc
        limit 1
    """).records(Seal)
    return found[0] if found else None


def add(database: Database, run_id: uuid.UUID) -> None:
    """Seal a run, in the transaction that ends it and holds the lock of the ledger."""
    before = newest(database)
    parameters = {
        "run_id": run_id,
        "seal_number": before.seal_number + 1 if before else 1,
        "seal_before": before.seal if before else None,
    }
    (seal,) = database.one(
        "select {seal} from {regime_runs} where run_id = %(run_id)s", parameters, seal=SEAL_HASH
    )
    database.execute(
        "update {regime_runs} set seal_number = %(seal_number)s, seal = %(seal)s"
        " where run_id = %(run_id)s",
        parameters | {"seal": seal},
    )


def hashes(
    database: Database, run_id: uuid.UUID, table: str, names: Iterable[str]
) -> dict[str, str]:
    """Entity or region → the hash over its rows that the run wrote, of those that have some."""
    return {
        name: sha256 for *_, name, sha256 in _contents(database, [run_id], [table], list(names))
    }


def contents(
    database: Database, run_ids: list[uuid.UUID], tables: list[str]
) -> dict[uuid.UUID, dict[str, str]]:
    """Run → table → the hash over the rows that the run wrote, in force or kept as revisions."""
    hashes: dict[uuid.UUID, dict[str, dict[str, str]]] = {run_id: {} for run_id in run_ids}
    for run_id, table, name, sha256 in _contents(database, run_ids, tables):
        hashes[run_id].setdefault(table, {})[name] = sha256
    return {
        run_id: {table: combined(by_name) for table, by_name in sorted(of_run.items())}
        for run_id, of_run in hashes.items()
    }


def _contents(
    database: Database, run_ids: list[uuid.UUID], tables: list[str], names: list[str] | None = None
) -> list[tuple[uuid.UUID, str, str, str]]:
    """(run, table, entity or region, hash over its rows that the run wrote), of those with some.

    names: the entities or regions; None for all
    """
    parameters = {"run_ids": run_ids, "tables": tables, "names": names}
    return database.execute(statement(__package__, "contents_of_runs"), parameters).fetchall()


def of_rows(lines: Iterable[bytes]) -> str:
    """The hash over the rows of one entity or region, as the view run_contents computes it.

    lines: of each row its hash, a space, and its created_at in seconds since 1970
    """
    return of_sorted_lines(b"\n".join(sorted(lines)))


def of_sorted_lines(text: bytes) -> str:
    """The same of lines that are in order, with line feeds between them."""
    return hashlib.sha256(text).hexdigest()


def combined(by_name: Mapping[str, str]) -> str:
    """The hash over a run's rows of one table, as the macro contents_hash computes it.

    by_name: entity or region → the hash over its rows
    """
    return of_rows(json.dumps(each, ensure_ascii=False).encode() for each in by_name.items())


def read(text: str, source: str) -> dict[int, str]:
    """The seals in a text, by number: lines of `regime seal`, or its JSON documents.

    raises RegimeError if there is none, or if two are of the same number and differ
    """
    seals: dict[int, str] = {}
    for number, seal in [*_LINE.findall(text), *_of_documents(text)]:
        if seals.setdefault(int(number), seal) != seal:
            raise RegimeError(f"{source} has two different seals of number {number}: keep one")
    if not seals:
        raise RegimeError(
            f"{source} has no seal: expected lines as `regime seal` prints them, or its JSON"
        )
    return seals


def _of_documents(text: str) -> Iterable[tuple[int, str]]:
    """The seals of JSON documents that follow each other, with anything between them."""
    decoder, position = json.JSONDecoder(), 0
    while (position := text.find("{", position)) >= 0:
        try:
            document, position = decoder.raw_decode(text, position)
        except ValueError:
            position += 1
            continue
        match document:
            case {"seal_number": int(number), "seal": str(seal)} if _HEX.fullmatch(seal):
                yield number, seal


@dataclass(frozen=True)
class Verdict:
    """What became of a seal that was kept outside.

    fault: None if everything up to its run is as it was
    """

    seal_number: int
    fault: str | None


def verify(
    database: Database, kept: Mapping[int, str], first_faulty: tuple[int, str] | None
) -> list[Verdict]:
    """Compare kept seals with the chain of the ledger, in the order of their numbers.

    kept: number → seal
    first_faulty: the number and the fault of the first run whose rows contradict the chain itself
    """
    stored = database.execute(
        "select seal_number, seal from {regime_runs} where seal_number = any(%s)", [list(kept)]
    )
    chain = dict(stored.fetchall())
    last = newest(database)
    verdicts, held = [], 0
    for number in sorted(kept):
        if first_faulty and first_faulty[0] <= number:
            fault: str | None = first_faulty[1]
        elif number not in chain:
            end = f"ends at seal {last.seal_number}" if last else "has no seal"
            fault = f"the ledger {end}: runs were deleted, or an older backup was restored"
        elif chain[number] != kept[number]:
            span = (
                f"run {number}" if number == held + 1 else f"one of the runs {held + 1} to {number}"
            )
            fault = (
                f"the ledger has {chain[number]} there: {span}, or what it wrote, is not as it was"
            )
        else:
            fault, held = None, number
        verdicts.append(Verdict(number, fault))
    return verdicts
