"""Regions and labels as the database has them."""

import difflib
from dataclasses import dataclass

from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.series import GLOBAL

# How many names an error lists.
MOST_NAMES = 10


@dataclass(frozen=True)
class Region:
    """A row of current_regions; weight and description are None where none is stated."""

    region: str
    instrument_id: str
    weight: float | None
    description: str | None


def regions(database: Database) -> dict[str, Region]:
    """Every region by its name, in the order of the names' bytes."""
    rows = database.execute("""
        select region, instrument_id, weight, description
        from {current_regions}
        order by region collate "C"
    """)
    return {name: Region(name, *rest) for name, *rest in rows}


def overruled(database: Database) -> list[str]:
    """The regions of the seed that a command removed or changed, each with what it is now."""
    rows = database.execute("""
        select region, coalesce(changed.instrument_id, 'removed')
        from {regions} as seeded
        left join {current_regions} as changed using (region)
        where
            changed.region is null
            or changed.instrument_id is distinct from seeded.instrument_id
            or changed.weight
            is distinct from (to_jsonb(seeded) ->> 'weight')::double precision
        order by region collate "C"
    """)
    return [f"{region} ({now})" for region, now in rows]


def labels(database: Database) -> list[str]:
    """The labels of regime_labels, calmest first."""
    rows = database.execute("select label from {regime_labels} order by severity")
    return [label for (label,) in rows]


def instrument_of(database: Database, region: str, given: str | None = None) -> str:
    """The instrument that is given, else that of the region.

    An instrument that has prices is a region of its own.

    raises RegimeError for an unknown region, and for the vote of the regions
    """
    if region == GLOBAL:
        raise RegimeError(
            f"{GLOBAL} is the vote of the regions and has no prices of its own: write it with "
            "`regime global`, or name one of the regions"
        )
    known = regions(database)
    if region in known:
        return given or known[region].instrument_id
    if has_prices(database, region):
        return given or region
    raise unknown_region(region, list(known))


def is_built(database: Database, model: str) -> bool:
    """Whether dbt has built the model yet; staging and features wait for the first prices."""
    name = database.table(model).as_string()
    return bool(database.one("select to_regclass(%s) is not null", [name])[0])


def has_prices(database: Database, instrument_id: str) -> bool:
    """Whether staging has a price of the instrument."""
    if not is_built(database, "stg_prices_daily"):
        return False
    (found,) = database.one(
        "select exists (select 1 from {stg_prices_daily} where instrument_id = %s)", [instrument_id]
    )
    return bool(found)


def unknown_region(region: str, known: list[str]) -> RegimeError:
    """What to say of a region that is neither known nor an instrument with prices."""
    names = nearest_first(region, known)
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return RegimeError(
        f"unknown region {region!r}: known are {', '.join(names[:MOST_NAMES]) or 'none'}{more}; "
        "`regime region add` adds one"
    )


def nearest_first(name: str, known: list[str]) -> list[str]:
    """The known names, those first that are written most like the name."""

    def distance(other: str) -> float:
        return -difflib.SequenceMatcher(None, name.casefold(), other.casefold()).ratio()

    return sorted(known, key=distance)
