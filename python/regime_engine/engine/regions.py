"""Add, change and remove regions: a run of the ledger each, which current_regions reads."""

import math
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches

from psycopg import sql

from regime_engine import features, runs, seeds
from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.prices import load
from regime_engine.seeds import Region
from regime_engine.series import GLOBAL

LONGEST_NAME = 200
# Instruments that a mistyped one is compared with.
MOST_COMPARED = 5000


@dataclass(frozen=True)
class Change:
    """A region before and after a command; None where it is not there. notes: what to know of it"""

    before: Region | None
    after: Region | None
    notes: tuple[str, ...] = ()


def add(
    database: Database,
    region: str,
    instrument_id: str,
    weight: float | None = None,
    description: str | None = None,
    replace: bool = False,
) -> Change:
    """Add a region, or change it; what is not given stays as it is.

    replace: let another instrument stand for a region that there is

    raises RegimeError for a name that cannot be one, and for an instrument that is not the region's
    """
    _require_writable("the name of a region", region)
    _require_writable("an instrument_id", instrument_id)
    if description:
        _require_writable("a description", description)
    if region == GLOBAL:
        raise RegimeError(f"{GLOBAL} is the vote of the regions: choose another name")
    if weight is not None and not (math.isfinite(weight) and weight >= 0):
        raise RegimeError(f"--weight {weight:g}: give a number from 0 on")
    with database.transaction():
        database.take_turns(["regions"])
        known = seeds.regions(database)
        _require_new_name(region, list(known))
        before = known.get(region)
        notes = []
        kept = before or Region(region, instrument_id, None, None)
        if kept.instrument_id != instrument_id:
            if not replace:
                raise RegimeError(
                    f"{region} stands for {kept.instrument_id} already: choose another name, or "
                    f"let {instrument_id} replace it with --replace"
                )
            notes += _notes_on_replaced(database, kept, instrument_id)
            # The description was that of the other instrument.
            kept = Region(region, instrument_id, kept.weight, None)
        if region != instrument_id and seeds.has_prices(database, region):
            raise RegimeError(
                f"{region} is an instrument with prices, and so a region of its own: choose "
                "another name"
            )
        after = Region(
            region,
            instrument_id,
            kept.weight if weight is None else weight,
            kept.description if description is None else description or None,
        )
        notes += _notes_on_instrument(database, after, known)
        if after != before:
            parameters = vars(after) | {"model_id": None}
            with runs.ledger(database, "region add", parameters):
                pass
    return Change(before, after, tuple(notes))


def remove(database: Database, region: str) -> Change:
    """Remove a region; what is stored of it stays.

    raises RegimeError if there is no such region
    """
    with database.transaction():
        database.take_turns(["regions"])
        known = seeds.regions(database)
        if region not in known:
            raise seeds.unknown_region(region, list(known))
        with runs.ledger(database, "region remove", {"region": region, "model_id": None}):
            pass
    notes = []
    if stored := _stored(database, region):
        notes.append(
            f"{stored:,} regimes of {region} stay stored; `regime forget --region {region}` "
            "removes them"
        )
    return Change(known[region], None, tuple(notes))


def _require_writable(what: str, text: str) -> None:
    """raises RegimeError for what a person could not type or would not see"""
    if not text.strip():
        raise RegimeError(f"{what} may not be empty")
    if text != text.strip():
        raise RegimeError(f"{what} may not begin or end with a space: {text!r}")
    if not text.isprintable():
        raise RegimeError(f"{what} may hold only characters that show: {text!r}")
    if len(text) > LONGEST_NAME:
        raise RegimeError(f"{what} may have at most {LONGEST_NAME} characters, not {len(text)}")


def _require_new_name(region: str, known: list[str]) -> None:
    """raises RegimeError if another region is written the same but for case or composition"""

    def folded(name: str) -> str:
        return unicodedata.normalize("NFKC", name).casefold()

    for other in known:
        if other != region and folded(other) == folded(region):
            raise RegimeError(
                f"there is a region {other}, which {region!r} could be mistaken for: use that one, "
                "or choose another name"
            )


def _notes_on_replaced(database: Database, before: Region, instrument_id: str) -> list[str]:
    stored = _stored(database, before.region)
    if not stored:
        return []
    return [
        f"{stored:,} regimes of {before.region} are of {before.instrument_id}, as is its model: "
        f"`regime forget --region {before.region}` removes them, and `regime pipeline` then writes "
        f"those of {instrument_id}"
    ]


def _notes_on_instrument(database: Database, region: Region, known: dict[str, Region]) -> list[str]:
    notes = []
    if not _is_loaded(database, region.instrument_id):
        like = _instruments_like(database, region.instrument_id)
        notes.append(
            f"{region.instrument_id} has no prices yet: load them with `regime load`"
            + (f", or did you mean {' or '.join(like)}?" if like else "")
        )
    others = [
        other.region
        for other in known.values()
        if other.instrument_id == region.instrument_id and other.region != region.region
    ]
    if others:
        notes.append(
            f"{region.instrument_id} stands for {', '.join(others)} too: in {GLOBAL} it counts for "
            "each of them, unless you give one --weight 0"
        )
    return notes


def _is_loaded(database: Database, instrument_id: str) -> bool:
    """Whether there are prices of an instrument, which dbt may not have staged yet."""
    if seeds.is_built(database, "stg_prices_daily"):
        return seeds.has_prices(database, instrument_id)
    table = load.table(database, load.PRICES)
    query = "select 1 from {prices} where instrument_id = %s limit 1"
    return load.exists(database, "to_regclass", table) and bool(
        database.first(query, [instrument_id], prices=table)
    )


def _stored(database: Database, region: str) -> int:
    (number,) = database.one("select count(*) from {regimes} where region = %s", [region])
    return int(number)


def _instruments_like(database: Database, instrument_id: str) -> list[str]:
    """Of the first instruments that have prices, those whose id is written much like this one."""
    if not seeds.is_built(database, "stg_prices_daily"):
        return []
    query = "select name from ({instruments}) as found limit {most}"
    instruments = features.instruments_query(database)
    rows = database.execute(query, instruments=instruments, most=sql.Literal(MOST_COMPARED))
    folded = {name.casefold(): name for (name,) in rows}
    return [folded[each] for each in get_close_matches(instrument_id.casefold(), folded, 2)]
