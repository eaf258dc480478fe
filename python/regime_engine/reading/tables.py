"""The stored rows themselves: regimes, transitions, model versions, runs."""

from collections import Counter
from datetime import date, timedelta
from typing import LiteralString

from psycopg import sql

from regime_engine import seeds
from regime_engine.database import Database, Query, Rows
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError
from regime_engine.reading.rows import IS_SERIES, fetch_audit, require_regimes
from regime_engine.runs import dead_runs
from regime_engine.series import MAX_STALENESS_DAYS, Series

_OF_REGIME = sql.SQL("""
    region, as_of_date, regime_label, confidence, runner_up_label, expected_volatility,
    (metadata ->> 'novelty')::double precision as novelty, instrument_id, model_version,
    probabilities
""")

# By its last prices it is known on which weekdays an instrument trades.
RECENT_PRICES, LEAST_PRICES_OF_WEEKDAY = 63, 4


def history(
    database: Database,
    series: Series,
    start: date | None = None,
    end: date | None = None,
    limit: int | None = None,
) -> Rows:
    """Date, label, confidence, runner-up, volatility, instrument and version, oldest first.

    limit: the newest rows only
    raises RegimeError if the series has no regime at all
    """
    query = """
        select
            as_of_date, regime_label, confidence, runner_up_label, expected_volatility,
            instrument_id, model_version
        from {regimes}
    """
    return _newest(database, series, query, {"start": start, "end": end, "limit": limit})


def regimes(
    database: Database, series: Series, start: date | None = None, end: date | None = None
) -> Rows:
    """As `history`, with region and novelty, and last the probabilities by label.

    raises RegimeError if the series has no regime at all
    """
    query = database.compose("select {columns} from {regimes}", columns=_OF_REGIME)
    return _newest(database, series, query, {"start": start, "end": end, "limit": None})


def latest(database: Database, model_id: str, window_days: int, region: str | None = None) -> Rows:
    """The newest row of `regimes` of each region that has one, by region. region: of this one only

    raises RegimeError if there is none
    """
    if region is None:
        names = regions_of(database, model_id, window_days)
    else:
        require_regimes(database, Series(region, model_id, window_days))
        names = [region]
    return database.rows_for_all(
        """
        select {columns}
        from {regimes}
        where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
        order by as_of_date desc
        limit 1
        """,
        [vars(Series(name, model_id, window_days)) for name in names],
        columns=_OF_REGIME,
    )


def regions_of(database: Database, model_id: str, window_days: int) -> list[str]:
    """Every region that has regimes by this encoder and window length, by name.

    raises RegimeError if there is none
    """
    found = database.execute(
        """
        select distinct region collate "C" as region
        from {regimes}
        where model_id = %s and window_days = %s
        order by region
        """,
        [model_id, window_days],
    ).fetchall()
    if not found:
        raise RegimeError(
            f"no regimes yet by {model_id} with windows of {window_days} days: `regime pipeline` "
            "writes them, and `regime status` lists the stored series"
        )
    return [region for (region,) in found]


def transitions(
    database: Database,
    series: Series,
    start: date | None = None,
    end: date | None = None,
    limit: int | None = None,
) -> Rows:
    """Date, labels before and after and their confidences, oldest first.

    limit: the newest rows only
    raises RegimeError if the series has no regime at all
    """
    query = """
        select
            as_of_date, from_regime_label, to_regime_label, from_confidence, to_confidence,
            previous_as_of_date
        from {regime_transitions}
    """
    return _newest(database, series, query, {"start": start, "end": end, "limit": limit})


def _newest(
    database: Database, series: Series, query: Query, which: dict[str, date | int | None]
) -> Rows:
    """Of the rows that the query selects, those of the series. which: start, end and limit"""
    require_regimes(database, series)
    return database.rows(
        """
        select *
        from (
            {query}
            where
                {is_series}
                and as_of_date >= coalesce(%(start)s::date, '-infinity')
                and as_of_date <= coalesce(%(end)s::date, 'infinity')
            order by as_of_date desc
            limit %(limit)s
        ) as newest
        order by as_of_date
        """,
        vars(series) | which,
        query=database.compose(query),
        is_series=IS_SERIES,
    )


def spells(
    database: Database, series: Series, start: date | None = None, end: date | None = None
) -> Rows:
    """The view regime_spells: the spells that have a day from start to end, whole, oldest first.

    raises RegimeError if the series has no regime at all, or if the view is missing
    """
    require_regimes(database, series)
    return fetch_audit(
        database,
        """
        select
            region, spell_number, regime_label, start_date, end_date, trading_days, missing_days,
            is_open, mean_confidence, lowest_confidence, total_return, annualised_volatility,
            worst_drawdown, entered_from_label, entry_confidence, left_to_label, exit_confidence
        from {regime_spells}
        where
            {is_series}
            and end_date >= coalesce(%(start)s::date, '-infinity')
            and start_date <= coalesce(%(end)s::date, 'infinity')
        order by spell_number
        """,
        vars(series) | {"start": start, "end": end},
        is_series=IS_SERIES,
    )


def days_by_year(database: Database, series: Series) -> Rows:
    """One row a year: how many days of each label of regime_labels, calmest first."""
    counts = [
        sql.SQL("count(*) filter (where regime_label = {}) as {}").format(
            sql.Literal(label), sql.Identifier(label)
        )
        for label in seeds.labels(database)
    ]
    return database.rows(
        """
        select extract(year from as_of_date)::int::text as year, {counts}
        from {regimes}
        where {is_series}
        group by 1
        order by 1
        """,
        vars(series),
        counts=sql.SQL(", ").join(counts),
        is_series=IS_SERIES,
    )


def series_overview(database: Database) -> Rows:
    """One row a stored series: its span, regimes, transitions and last label."""
    return database.rows(statement(__package__, "series_overview"))


def region_overview(database: Database) -> Rows:
    """One row a region: its newest price, how many trading days old that is, whether it is stale.

    An instrument trades on the weekdays of its last 63 prices; a weekday with fewer than 4 of them
    is left out. A holiday counts as a trading day. A region is stale if a window that ends with its
    newest price is too old for today. All three are None for a region without prices, and until
    dbt has built the view of the prices.
    """
    known = seeds.regions(database)
    (today,) = database.one("select current_date")
    days: dict[str, list[date]] = {}
    if seeds.is_built(database, "stg_prices_daily"):
        instrument_ids = sorted({region.instrument_id for region in known.values()})
        found = database.rows_of_each(
            "select trade_date from {stg_prices_daily} where instrument_id = %(instrument_id)s"
            " order by trade_date desc limit %(most)s",
            [{"instrument_id": each, "most": RECENT_PRICES} for each in instrument_ids],
        )
        days = {
            instrument_id: [day for (day,) in rows]
            for instrument_id, rows in zip(instrument_ids, found, strict=True)
        }
    rows = []
    for name, region in known.items():
        recent = days.get(region.instrument_id)
        freshness: tuple[date | None, int | None, bool | None] = (None, None, None)
        if recent:
            last = recent[0]
            is_stale = (today - last).days > MAX_STALENESS_DAYS
            freshness = (last, _trading_days_since(last, today, recent), is_stale)
        rows.append((name, region.instrument_id, *freshness))
    return Rows(["region", "instrument_id", "last_price", "trading_days_old", "is_stale"], rows)


def _trading_days_since(last: date, today: date, recent: list[date]) -> int:
    """How many days from the one after last to today are of weekdays that occur often enough."""
    prices = Counter(day.weekday() for day in recent)
    later = (last + timedelta(days=each) for each in range(1, (today - last).days + 1))
    return sum(prices[day.weekday()] >= LEAST_PRICES_OF_WEEKDAY for day in later)


def models(database: Database, region: str | None = None) -> Rows:
    """One row a model version, by series and first valid day."""
    return database.rows(
        """
        select
            region, model_id, window_days, version, classifier,
            array_to_string(labels, ', ') as labels,
            trained_from, trained_to, n_windows, valid_from,
            (metrics ->> 'in_sample_log_score')::double precision as in_sample_log_score,
            (metrics ->> 'held_out_log_score')::double precision as held_out_log_score,
            (
                select string_agg(kind, ', ' order by kind)
                from jsonb_object_keys(metrics -> 'doubts') as kind
            ) as doubts
        from {regime_models}
        where region = coalesce(%(region)s, region)
        order by region, model_id, window_days, valid_from, version
        """,
        {"region": region},
    )


def regions(database: Database) -> Rows:
    """One row a region, by name."""
    return database.rows(
        """
        select region, instrument_id, description, weight, changed_at, changed_by
        from {current_regions}
        order by region collate "C"
        """
    )


def last_runs(database: Database, limit: int = 10) -> Rows:
    """The last runs, newest first; a RUNNING one whose session has ended is shown as DIED."""
    return _runs(database, "order by started_at desc, run_id limit %(limit)s", {"limit": limit})


def died_runs(database: Database) -> Rows:
    """The runs that are DIED, newest first."""
    return _runs(database, "where {is_dead} order by started_at desc, run_id")


def runs_by_status(database: Database) -> Rows:
    """One row a command and status: how many runs, and when the last of them ended or began."""
    is_dead = _is_dead(database)
    return database.rows(
        """
        select
            command,
            case when {is_dead} then 'DIED' else status end as status,
            count(*) as runs,
            max(coalesce(finished_at, started_at)) as last_at
        from {regime_runs}
        group by 1, 2
        order by 1, 2
        """,
        is_dead=is_dead,
    )


def _runs(
    database: Database, which: LiteralString, parameters: dict[str, int] | None = None
) -> Rows:
    """Rows of the ledger. which: the clauses that follow `from regime_runs`"""
    is_dead = _is_dead(database)
    return database.rows(
        """
        select
            started_at, command,
            case when {is_dead} then 'DIED' else status end as status,
            concat_ws(' ', parameters ->> 'region', parameters ->> 'instrument_id') as subject,
            (
                select coalesce(sum(value::bigint), 0)::bigint
                from jsonb_each_text(rows_written)
            ) as rows_written,
            error, run_id::text
        from {regime_runs}
        {which}
        """,
        parameters,
        is_dead=is_dead,
        which=sql.SQL(which).format(is_dead=is_dead),
    )


def _is_dead(database: Database) -> sql.Composed:
    """The condition on a run whose process ended without finishing it."""
    dead = sql.Literal([run.run_id for run in dead_runs(database)])
    return sql.SQL("(status = 'RUNNING' and run_id = any({}::uuid[]))").format(dead)
