"""The regimes of GLOBAL: on each day the weighted vote of the regions' own regimes."""

from collections import deque
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import sql

from regime_engine import runs
from regime_engine.database import Database
from regime_engine.engine.classify import Outcome, series_parameters
from regime_engine.errors import RegimeError
from regime_engine.reading.tables import labels
from regime_engine.series import GLOBAL, Series
from regime_engine.store.regimes import Regimes, lock_series, write_votes

# How old a region's last regime may be to count on a day on which the region did not trade.
MAX_AGE = timedelta(days=7)
# A team's seed may lack the column.
_WEIGHT = sql.SQL("(to_jsonb(regions) ->> 'weight')::double precision")


@dataclass(frozen=True)
class Region:
    region: str
    instrument_id: str
    weight: float


@dataclass(frozen=True)
class Voter:
    """A region's regime of one of its trading days."""

    region: Region
    as_of_date: date
    regime_label: str
    probabilities: dict[str, float]
    run_id: str
    first_trade_date: str
    in_sample: bool


def vote(
    database: Database, model_id: str, window_days: int
) -> Outcome:
    """Vote on every day on which a region traded, and store the result as the series GLOBAL.

    raises RegimeError where the weights make no vote or no region has a regime
    """
    series = Series(GLOBAL, model_id, window_days)
    regions = voting_regions(database)
    # Whose prices and calendar stand for GLOBAL where a view shows any.
    lead = max(regions, key=lambda region: region.weight)
    parameters = series_parameters(series, lead.instrument_id) | {
        "weights": {region.region: region.weight for region in regions}
    }
    with (
        runs.ledger(database, "global", parameters, model_id) as run,
        database.transaction(),
    ):
        lock_series(database, lead.instrument_id, series)
        voters = _voters(database, series, regions)
        if not voters:
            raise RegimeError(
                f"no regimes by {model_id} with windows of {window_days} days of any of "
                f"{', '.join(region.region for region in regions)}: write them with "
                "`regime backfill --region …`"
            )
        dates, vectors, regimes = _count(voters, labels(database))
        written = write_votes(
            database, run, series, lead.instrument_id, dates, vectors, regimes
        )
    return Outcome(
        series,
        lead.instrument_id,
        dates[0],
        dates[-1],
        len(dates),
        regimes.labels[-1],
        float(regimes.confidence[-1]),
        written,
        dates[-1],
    )


def is_wanted(database: Database) -> bool:
    """Whether GLOBAL is stored already, or regions.csv states a weight and several regions vote."""
    is_stored, is_weighted = database.execute(
        sql.SQL("""
            select
                exists (select 1 from {} where region = %s),
                exists (select 1 from {} as regions where {weight} is not null)
        """).format(*_tables(database, "regimes", "regions"), weight=_WEIGHT),
        [GLOBAL],
    ).fetchone()
    return is_stored or (is_weighted and len(voting_regions(database)) > 1)


def voting_regions(database: Database) -> list[Region]:
    """The regions with a weight above 0, by name; an empty weight is 1."""
    rows = database.execute(
        sql.SQL(
            "select region, instrument_id, coalesce({weight}, 1) from {} as regions"
            ' order by region collate "C"'
        ).format(*_tables(database, "regions"), weight=_WEIGHT)
    )
    regions = [Region(*row) for row in rows]
    for region in regions:
        if not 0 <= region.weight < np.inf:
            raise RegimeError(
                f"the weight of {region.region} in seeds/regions.csv is {region.weight:g}: give it "
                "a number from 0 on and run `regime init`"
            )
        if region.region == GLOBAL:
            raise RegimeError(
                f"seeds/regions.csv has a region {GLOBAL}, which is the name of the vote: rename it"
            )
    if not np.isfinite(sum(region.weight for region in regions)):
        raise RegimeError(
            "the weights in seeds/regions.csv have no finite sum: give smaller numbers and run "
            "`regime init`"
        )
    voting = [region for region in regions if region.weight > 0]
    if not voting:
        raise RegimeError(
            "no region of seeds/regions.csv has a weight above 0: give one to those that are to "
            "vote and run `regime init`"
        )
    return voting


def _voters(
    database: Database, series: Series, regions: list[Region]
) -> list[Voter]:
    """The regimes of the regions' trading days, by date and region."""
    known = {region.region: region for region in regions}
    rows = database.execute(
        sql.SQL("""
            select
                region, as_of_date, regime_label, probabilities, run_id::text,
                metadata ->> 'first_trade_date',
                coalesce((metadata ->> 'in_sample')::boolean, false)
            from {}
            where
                region = any(%(regions)s)
                and model_id = %(model_id)s and window_days = %(window_days)s
                and (metadata ->> 'last_trade_date')::date = as_of_date
            order by as_of_date, region collate "C"
        """).format(*_tables(database, "regimes")),
        vars(series) | {"regions": list(known)},
    )
    return [Voter(known[region], *rest) for region, *rest in rows]


def _count(
    voters: list[Voter], severity: list[str]
) -> tuple[list[date], list[np.ndarray], Regimes]:
    """Day by day, the vote of each region's last regime, if it is recent.

    returns the dates, the vectors that were voted on, the regimes
    """
    dates, vectors, rows = [], [], []
    last: dict[str, Voter] = {}
    coming = deque(voters)
    while coming:
        day = coming[0].as_of_date
        while coming and coming[0].as_of_date == day:
            voter = coming.popleft()
            last[voter.region.region] = voter
        present = [last[name] for name in sorted(last) if day - last[name].as_of_date <= MAX_AGE]
        names, vector, probabilities = weighted_mean(present, severity)
        ranked = sorted(range(len(names)), key=lambda k: -probabilities[k])
        dates.append(day)
        vectors.append(vector)
        rows.append(
            (
                names[ranked[0]],
                probabilities[ranked[0]],
                dict(zip(names, probabilities, strict=True)),
                names[ranked[1]] if len(names) > 1 else None,
                _lineage(present, names, day),
            )
        )
    winners, confidence, probabilities, runners_up, metadata = zip(*rows, strict=True)
    regimes = Regimes(
        list(winners),
        np.array(confidence),
        list(probabilities),
        list(runners_up),
        list(metadata),
        np.zeros(len(rows), int),
    )
    return dates, vectors, regimes


def weighted_mean(
    voters: list[Voter], severity: list[str]
) -> tuple[list[str], np.ndarray, list[float]]:
    """The labels that the voters know, calmest first; what is voted on; each label's probability.

    The vector is (voters * labels,) float32, voter by voter; the probabilities follow from it and
    the weights alone.
    """
    known = {label for voter in voters for label in voter.probabilities}
    names = [label for label in severity if label in known] + sorted(known - set(severity))
    shares = np.array(
        [[voter.probabilities.get(label, 0.0) for label in names] for voter in voters], "<f4"
    )
    weights = np.array([voter.region.weight for voter in voters])
    totals = (weights[:, None] * shares).sum(axis=0)  # (labels,)
    return names, shares.ravel(), (totals / totals.sum()).tolist()


def _lineage(voters: list[Voter], names: list[str], day: date) -> dict[str, object]:
    return {
        "labels": names,
        "constituents": [
            {
                "region": voter.region.region,
                "weight": voter.region.weight,
                "as_of_date": voter.as_of_date.isoformat(),
                "regime_label": voter.regime_label,
                "run_id": voter.run_id,
            }
            for voter in voters
        ],
        "first_trade_date": min(voter.first_trade_date for voter in voters),
        "last_trade_date": day.isoformat(),
        "in_sample": any(voter.in_sample for voter in voters),
    }


def _tables(database: Database, *names: str) -> list[sql.Identifier]:
    return [database.table(name) for name in names]
