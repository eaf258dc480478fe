"""Stored rows beside the same rows computed anew: what differs, and how."""

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

# Column → its text or bytes, numbers with all their digits.
Contents: TypeAlias = Mapping[str, Any]

_LONGEST_SHOWN = 40


class Verdict(StrEnum):
    """differs: the row is not what follows from the prices
    restated: the prices changed since the row was written, so that it cannot be computed again
    outdated: a version or regimes that it was computed from were replaced since
    """

    DIFFERS = "differs"
    RESTATED = "restated"
    OUTDATED = "outdated"


@dataclass(frozen=True)
class Change:
    """What a column says, and what was computed for it.

    size: the largest relative difference of its numbers; infinite where more than numbers differ
    """

    column: str
    stored: str
    computed: str
    size: float


@dataclass(frozen=True)
class Difference:
    """A row that is not as it was computed. key: column → value"""

    table: str
    key: dict[str, object]
    verdict: Verdict
    changes: tuple[Change, ...]
    note: str = ""


@dataclass
class Comparison:
    """What was compared, and what was found.

    most_shown: how many differences of a verdict and table are kept
    rows: table → rows compared; counts: (verdict, table) → rows found; shown: the first of them
    largest: the largest relative difference of a row that differs
    """

    most_shown: int
    rows: Counter[str] = field(default_factory=Counter)
    counts: Counter[tuple[Verdict, str]] = field(default_factory=Counter)
    shown: dict[tuple[Verdict, str], list[Difference]] = field(
        default_factory=lambda: defaultdict(list)
    )
    largest: float = 0.0

    def add(self, difference: Difference) -> None:
        kind = (difference.verdict, difference.table)
        self.counts[kind] += 1
        if len(self.shown[kind]) < self.most_shown:
            self.shown[kind].append(difference)
        if difference.verdict == Verdict.DIFFERS:
            self.largest = max(self.largest, *(change.size for change in difference.changes))

    def has_passed(self, is_strict: bool = False) -> bool:
        """A restated price and a later model are no faults of the rows.

        is_strict: they fail the replay too, as warnings fail a strict audit
        """
        return not (sum(self.counts.values()) if is_strict else self.count(Verdict.DIFFERS))

    def count(self, verdict: Verdict) -> int:
        """How many rows have this verdict."""
        return sum(count for (of, _), count in self.counts.items() if of == verdict)


def changes(stored: Contents, computed: Contents) -> tuple[Change, ...]:
    """The columns that differ; the row's hash only where it is all that does."""
    found = [
        _change(column, stored[column], value)
        for column, value in computed.items()
        if stored[column] != value
    ]
    return tuple([each for each in found if not each.column.endswith("_hash")] or found)


def other(column: str, stored: object, computed: object) -> tuple[Change, ...]:
    """The change of one column."""
    return (Change(column, str(stored), str(computed), np.inf),)


def _change(column: str, stored: str | bytes | None, computed: str | bytes | None) -> Change:
    """The first number or text of a column that differs, and how many more do."""
    if isinstance(stored, bytes) and isinstance(computed, bytes):
        if len(stored) != len(computed):
            return Change(column, f"{len(stored)} bytes", f"{len(computed)} bytes", np.inf)
        before, after = np.frombuffer(stored, "<f4"), np.frombuffer(computed, "<f4")
        places = np.flatnonzero(before.view("<u4") != after.view("<u4"))
        differing = [(f"{column}.{place}", before[place], after[place]) for place in places]
    else:
        named, also_named = dict(_leaves(column, stored)), dict(_leaves(column, computed))
        differing = [
            (name, named.get(name), also_named.get(name))
            for name in named | also_named
            if repr(named.get(name)) != repr(also_named.get(name))
        ]
    if not differing:  # an empty object, say
        return Change(column, _shown(stored), _shown(computed), np.inf)
    name, first, second = differing[0]
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    sizes = [_size(*pair) for _, *pair in differing]
    return Change(name + more, _shown(first), _shown(second), max(sizes))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """(path, value) of each number and text of a column; a text that is JSON is read."""
    with contextlib.suppress(TypeError, ValueError):
        value = json.loads(value, parse_float=Decimal, parse_int=Decimal)  # type: ignore[arg-type]
    yield from _inside(name, value)


def _inside(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _inside(f"{name}.{key}", each)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _inside(f"{name}.{place}", each)
    else:
        yield name, value


def _size(stored: object, computed: object) -> float:
    numbers = (Decimal, np.float32)
    if not (isinstance(stored, numbers) and isinstance(computed, numbers)):
        return np.inf
    first, second = float(stored), float(computed)
    scale = max(abs(first), abs(second))
    return abs(first - second) / scale if scale and np.isfinite(scale) else np.inf


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
