"""Regions and labels as the database has them: the seeds regions and regime_labels."""

from dataclasses import dataclass

from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.series import GLOBAL


@dataclass(frozen=True)
class Region:
    """A row of regions.csv; weight and description are None where it states none."""

    region: str
    instrument_id: str
    weight: float | None
    description: str | None


def regions(database: Database) -> dict[str, Region]:
    """Every region by its name, in the order of the names' bytes."""
    # By to_jsonb, since a team's own seed may lack the last two columns.
    rows = database.execute("""
        select
            region,
            instrument_id,
            (to_jsonb(regions) ->> 'weight')::double precision as weight,
            to_jsonb(regions) ->> 'description' as description
        from {regions} as regions
        order by region collate "C"
    """)
    return {name: Region(name, *rest) for name, *rest in rows}


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
    (is_instrument,) = database.one(
        "select exists (select 1 from {stg_prices_daily} where instrument_id = %s)", [region]
    )
    if is_instrument:
        return given or region
    raise RegimeError(
        f"unknown region {region!r}: known are {', '.join(known) or 'none'}; add it to "
        "seeds/regions.csv and run `regime init`"
    )
