"""The regimes of GLOBAL: on each day the weighted vote of the regions' own regimes."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

import numpy as np

from regime_engine import runs, seeds
from regime_engine.database import Database
from regime_engine.engine.classify import Outcome
from regime_engine.errors import RegimeError
from regime_engine.series import GLOBAL, MAX_STALENESS_DAYS, Series
from regime_engine.store.regimes import Regimes, lock_series, write_votes

# On a day on which a region did not trade its last regime counts, unless it is older than this.
MAX_AGE = timedelta(days=MAX_STALENESS_DAYS)


@dataclass(frozen=True)
class Voter:
    """A region's regime of one of its trading days."""

    region: str
    weight: float
    as_of_date: date
    regime_label: str
    probabilities: dict[str, float]
    expected_volatility: float | None
    run_id: str
    first_trade_date: str
    in_sample: bool


@dataclass(frozen=True)
class Voting:
    """Who votes.

    weights: region → weight, of the regions that have regimes
    instrument_id: of the heaviest of them; the views show its prices and calendar for GLOBAL
    """

    series: Series
    weights: dict[str, float]
    instrument_id: str


def vote(database: Database, model_id: str, window_days: int) -> Outcome:
    """Vote on every day on which a region traded, and store the result as the series GLOBAL.

    raises RegimeError where the weights make no vote or no region has a regime
    """
    series = Series(GLOBAL, model_id, window_days)
    called = voting(database, series)
    if called is None:
        raise RegimeError(
            f"no regimes by {model_id} with windows of {window_days} days of any of "
            f"{', '.join(_weights(seeds.regions(database)))}: write them with `regime backfill "
            "--region …`"
        )
    parameters = vars(series) | {"instrument_id": called.instrument_id, "weights": called.weights}
    with runs.ledger(database, "global", parameters) as run, database.transaction():
        return write(database, run, called)


def voting(database: Database, series: Series) -> Voting | None:
    """Who votes for GLOBAL by an encoding; None if no region has a regime by it.

    raises RegimeError where the weights make no vote
    """
    regions = seeds.regions(database)
    weights = _weights(regions)
    of_regions = database.rows_of_each(
        """
        select exists (
            select 1
            from {regimes}
            where
                region = %(region)s
                and model_id = %(model_id)s and window_days = %(window_days)s
                and (metadata ->> 'last_trade_date')::date = as_of_date
        )
        """,
        [vars(series) | {"region": name} for name in weights],
    )
    found = {
        name for name, [(has_regimes,)] in zip(weights, of_regions, strict=True) if has_regimes
    }
    present = {name: weight for name, weight in weights.items() if name in found}
    if not present:
        return None
    heaviest = max(present, key=lambda name: present[name])
    return Voting(series, present, regions[heaviest].instrument_id)


def write(database: Database, run: runs.Run, called: Voting) -> Outcome:
    """Count the vote and store it, in a transaction of the caller's."""
    lock_series(database, called.instrument_id, called.series)
    counted = voters(database, called.series, called.weights)
    dates, vectors, regimes = count(counted, seeds.labels(database))
    written = write_votes(
        database,
        run,
        called.series,
        instrument_id=called.instrument_id,
        as_of_dates=dates,
        vectors=vectors,
        regimes=regimes,
    )
    return Outcome(
        series=called.series,
        instrument_id=called.instrument_id,
        first=dates[0],
        last=dates[-1],
        n_windows=len(dates),
        label=regimes.labels[-1],
        confidence=float(regimes.confidence[-1]),
        expected_volatility=regimes.expected_volatility[-1],
        written=written,
        window_end=dates[-1],
    )


def is_wanted(database: Database) -> bool:
    """Whether GLOBAL is stored already, or some weight is stated and several regions vote."""
    if database.first("select 1 from {regimes} where region = %s limit 1", [GLOBAL]):
        return True
    regions = seeds.regions(database)
    is_weighted = any(region.weight is not None for region in regions.values())
    return is_weighted and len(_weights(regions)) > 1


def _weights(regions: dict[str, seeds.Region]) -> dict[str, float]:
    """Region → weight, of those with a weight above 0; an empty weight is 1."""
    weights = {
        name: 1.0 if region.weight is None else region.weight for name, region in regions.items()
    }
    for name, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise RegimeError(
                f"the weight of {name} is {weight:g}: give it a number from 0 on with "
                "`regime region add … --weight`"
            )
    if GLOBAL in weights:
        raise RegimeError(
            f"a region has the name {GLOBAL}, which is that of the vote: take it out with `regime "
            f"region remove {GLOBAL}`, and add it under another name"
        )
    if not np.isfinite(sum(weights.values())):
        raise RegimeError(
            "the weights of the regions have no finite sum: give smaller numbers with `regime "
            "region add … --weight`"
        )
    voting = {name: weight for name, weight in weights.items() if weight > 0}
    if not voting:
        raise RegimeError(
            "no region has a weight above 0: give one to the regions that vote, with `regime "
            "region add … --weight`"
        )
    return voting


def voters(database: Database, series: Series, weights: dict[str, float]) -> list[Voter]:
    """The regimes of the regions' trading days, by date and region."""
    rows = database.execute(
        """
        select
            region, as_of_date, regime_label, probabilities, expected_volatility, run_id::text,
            metadata ->> 'first_trade_date',
            coalesce((metadata ->> 'in_sample')::boolean, false)
        from {regimes}
        where
            region = any(%(regions)s)
            and model_id = %(model_id)s and window_days = %(window_days)s
            and (metadata ->> 'last_trade_date')::date = as_of_date
        order by as_of_date, region collate "C"
        """,
        vars(series) | {"regions": list(weights)},
    )
    return [Voter(region, weights[region], *rest) for region, *rest in rows]


def count(
    regions: list[Voter], severity: list[str]
) -> tuple[list[date], list[np.ndarray], Regimes]:
    """Day by day, the vote of each region's last regime, if it is recent.

    returns the dates, the vectors that were voted on, the regimes
    """
    dates: list[date] = []
    vectors: list[np.ndarray] = []
    votes: list[dict[str, float]] = []
    volatilities: list[float | None] = []
    metadata: list[dict[str, object]] = []
    last: dict[str, Voter] = {}
    for day, of_day in groupby(regions, key=lambda voter: voter.as_of_date):
        last |= {voter.region: voter for voter in of_day}
        present = [last[name] for name in sorted(last) if day - last[name].as_of_date <= MAX_AGE]
        vector, shares = _weighted_mean(present, severity)
        dates.append(day)
        vectors.append(vector)
        votes.append(shares)
        volatilities.append(_mean_volatility(present))
        metadata.append(_lineage(present, list(shares), day))
    # Of equal shares the calmer label's comes first.
    ranked = [sorted(shares, key=lambda label: -shares[label]) for shares in votes]
    regimes = Regimes(
        labels=[labels[0] for labels in ranked],
        confidence=np.array([max(shares.values()) for shares in votes]),
        probabilities=votes,
        runner_up_labels=[labels[1] if len(labels) > 1 else None for labels in ranked],
        expected_volatility=volatilities,
        metadata=metadata,
        model_versions=np.zeros(len(votes), int),
    )
    return dates, vectors, regimes


def _weighted_mean(voters: list[Voter], severity: list[str]) -> tuple[np.ndarray, dict[str, float]]:
    """What is voted on, and the probability of each label that the voters know, calmest first.

    The vector is (voters * labels,) float32, voter by voter; the probabilities follow from it and
    the weights alone.
    """
    known = {label for voter in voters for label in voter.probabilities}
    names = [label for label in severity if label in known] + sorted(known - set(severity))
    shares = np.array(
        [[voter.probabilities.get(label, 0.0) for label in names] for voter in voters], "<f4"
    )
    weights = np.array([voter.weight for voter in voters])
    totals = (weights[:, None] * shares).sum(axis=0)  # (labels,)
    return shares.ravel(), dict(zip(names, (totals / totals.sum()).tolist(), strict=True))


def _mean_volatility(voters: list[Voter]) -> float | None:
    """The weighted mean of the expected volatilities; None if a voter has none."""
    known = [voter for voter in voters if voter.expected_volatility is not None]
    if len(known) < len(voters):
        return None
    weights = np.array([voter.weight for voter in known])
    volatilities = np.array([voter.expected_volatility for voter in known])
    return float((weights * volatilities).sum() / weights.sum())


def _lineage(voters: list[Voter], names: list[str], day: date) -> dict[str, object]:
    return {
        "labels": names,
        "constituents": [
            {
                "region": voter.region,
                "weight": voter.weight,
                "as_of_date": voter.as_of_date.isoformat(),
                "regime_label": voter.regime_label,
                "expected_volatility": voter.expected_volatility,
                "run_id": voter.run_id,
            }
            for voter in voters
        ],
        "first_trade_date": min(voter.first_trade_date for voter in voters),
        "last_trade_date": day.isoformat(),
        "in_sample": any(voter.in_sample for voter in voters),
    }
