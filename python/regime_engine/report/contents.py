"""What a report says of a region: what the reading commands and the audit's views answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from regime_engine import seeds
from regime_engine.database import Database, Rows
from regime_engine.engine import nightly
from regime_engine.errors import RegimeError
from regime_engine.reading.analogues import analogues
from regime_engine.reading.forecast import calibration, forecast
from regime_engine.reading.matrix import matrix
from regime_engine.reading.rows import IS_SERIES, fetch_audit, require_regimes
from regime_engine.series import Series

MOST_REGIONS = 20
LAST_RUNS = 12
# Trading days ahead: close together where the forecast bends.
HORIZONS = (0, 1, 2, 3, 5, 8, 10, 15, 21, 31, 42, 52, 63)
CALIBRATED_HORIZON = 21

TABLES = (
    "embedding_integrity",
    "model_lineage",
    "price_suspicions",
    "regime_models",
    "regime_timeline",
    "regimes",
    "run_ledger",
    "transition_reconciliation",
)

Record = dict[str, object]


@dataclass(frozen=True)
class RegionReport:
    """All that is shown of one region. Each list is the rows of a query, by column name.

    labels: calmest first; now: the last row of days that has a regime; version: the model version
    that gave it; description: what its instrument is, where regions.csv says so
    analogues, calibration: empty where there are none; `without` says why, by field
    """

    series: Series
    description: str | None
    labels: list[str]
    now: Record
    days: list[Record]
    spells: list[Record]
    matrix: list[Record]
    profile: list[Record]
    version: Record
    checks: list[Record]
    runs: list[Record]
    forecast: list[Record]
    calibration: list[Record]
    analogues: list[Record]
    without: dict[str, str]

    @property
    def closed_spells(self) -> list[Record]:
        return [spell for spell in self.spells if not spell["is_open"]]


@dataclass(frozen=True)
class Verdict:
    """What an audit test found; status: pass, warn, fail, kept (rows of the last audit), or none"""

    name: str
    status: str
    failures: int
    description: str = ""


@dataclass(frozen=True)
class Report:
    """regions: as asked for; verdicts: a test each, None where no audit has been run.

    is_fresh: whether the audit was run for this report
    """

    regions: list[RegionReport]
    verdicts: list[Verdict] | None
    is_fresh: bool
    written_at: datetime


def read(
    database: Database,
    regions: tuple[str, ...],
    model_id: str,
    window_days: int,
    fresh: list[Verdict] | None = None,
) -> Report:
    """The report on these regions, or on all that have regimes, of one moment of the database.

    fresh: the verdicts of an audit that was just run
    raises RegimeError where there is no regime, or more regions than a page can show
    """
    # The level that the search for analogues sets too: within a transaction no other could be set.
    database.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with database.transaction():
        names = regions or _regions(database, model_id, window_days)
        described = {name: region.description for name, region in seeds.regions(database).items()}
        return Report(
            [
                _region(database, Series(name, model_id, window_days), described)
                for name in dict.fromkeys(names)
            ],
            _kept_failures(database) if fresh is None else fresh,
            fresh is not None,
            datetime.now(UTC),
        )


def audit(database: Database) -> list[Verdict]:
    """Run the dbt audit: a verdict each test."""
    results, _ = nightly.audit(database, rows_shown=0)
    return [
        Verdict(
            result.name, result.status, result.failures or 0, " ".join(result.description.split())
        )
        for result in results
    ]


def _regions(database: Database, model_id: str, window_days: int) -> list[str]:
    """Every region that has regimes of this kind."""
    found = database.execute(
        sql.SQL(
            "select distinct region from {} where model_id = %s and window_days = %s"
            " order by region"
        ).format(database.table("regimes")),
        [model_id, window_days],
    ).fetchall()
    if not found:
        raise RegimeError(
            f"no regimes yet by {model_id} with windows of {window_days} days: write them with "
            "`regime pipeline`, or see `regime status` for what there is"
        )
    if len(found) > MOST_REGIONS:
        raise RegimeError(
            f"{len(found):,} regions have regimes, and a page shows {MOST_REGIONS}: choose with "
            "--region, several times for several"
        )
    return [region for (region,) in found]


def _region(
    database: Database,
    series: Series,
    described: dict[str, str | None],
) -> RegionReport:
    require_regimes(database, series)
    days = _days(database, series)
    now = next(day for day in reversed(days) if day["regime_label"] is not None)
    known = seeds.labels(database)
    occurring = {label for day in days for label in (day["regime_label"], *day["probabilities"])}
    without: dict[str, str] = {}

    def records_or_why(panel: str, read: Callable[..., Rows], *arguments: object) -> list[Record]:
        try:
            return read(database, series, *arguments).records()
        except RegimeError as error:
            without[panel] = str(error)
            return []

    return RegionReport(
        series=series,
        description=described.get(series.region),
        labels=[*known, *sorted(occurring - {*known, None})],
        now=now,
        days=days,
        spells=_of_series(database, series, "regime_spells", "spell_number"),
        matrix=matrix(database, series).records(),
        profile=_of_series(database, series, "label_profile", "regime_label"),
        version=_version(database, series, now),
        checks=_checks(database, series, now["instrument_id"]),
        runs=_runs(database, series, now),
        forecast=forecast(database, series, HORIZONS).records(),
        calibration=records_or_why("calibration", calibration, CALIBRATED_HORIZON),
        analogues=records_or_why("analogues", analogues),
        without=without,
    )


def _days(database: Database, series: Series) -> list[Record]:
    """The timeline, oldest first, with the probabilities of all labels; none on a missing day."""
    return _query(
        database,
        """
        select
            timeline.as_of_date, timeline.instrument_id, timeline.regime_label,
            timeline.confidence, timeline.novelty, timeline.days_since_change,
            timeline.model_version, timeline.is_in_sample, timeline.close, timeline.drawdown,
            timeline.run_id, coalesce(regimes.probabilities, '{{}}') as probabilities
        from {regime_timeline} as timeline
        left join {regimes} as regimes using (region, as_of_date, model_id, window_days)
        where {is_series}
        order by as_of_date
        """,
        vars(series),
    )


def _of_series(database: Database, series: Series, view: str, order: str) -> list[Record]:
    table = database.table(view)
    query = sql.SQL("select * from {} where {} order by {}").format(
        table, IS_SERIES, sql.Identifier(order)
    )
    return fetch_audit(database, query, vars(series)).records()


def _version(database: Database, series: Series, now: Record) -> Record:
    """The model version behind the last regime: its lineage, parameters and metrics."""
    (lineage,) = _query(
        database,
        """
        select
            lineage.*, models.parameters, models.metrics,
            (select count(*)::integer from {regime_models} where {is_series}) as versions
        from {model_lineage} as lineage
        left join (select *, version as model_version from {regime_models}) as models
            using (region, model_id, window_days, model_version)
        where
            {is_series}
            and model_version = %(model_version)s and classified_by_run_id = %(run_id)s
        """,
        vars(series) | {"model_version": now["model_version"], "run_id": now["run_id"]},
    )
    return lineage


def _checks(database: Database, series: Series, instrument_id: str) -> list[Record]:
    """What the views say is not as it should be, counted now: name, found, the SQL for the rows.

    is_fault: a row is wrong, rather than that the world changed or that a reader should know
    """
    checks = (
        (
            "Transitions that disagree with the regimes",
            True,
            "{transition_reconciliation} where {of_series} and verdict <> 'agrees'",
        ),
        (
            "Regimes of runs that did not succeed",
            True,
            "{regime_timeline} where {of_series}"
            " and run_id in (select run_id from {run_ledger} where status <> 'SUCCEEDED')",
        ),
        (
            "Unsound embeddings",
            True,
            "{embedding_integrity} where {of_windows} and cardinality(faults) > 0",
        ),
        (
            "Embeddings whose prices were restated since",
            False,
            "{embedding_integrity} where {of_windows} and status = 'restated'",
        ),
        (
            "Trading days without a regime",
            False,
            "{regime_timeline} where {of_series} and is_missing",
        ),
        (
            "Days labelled by a model that was trained on them",
            False,
            "{regime_timeline} where {of_series} and is_in_sample",
        ),
        (
            "Prices that look suspicious",
            False,
            "{price_suspicions} where instrument_id = {instrument_id}",
        ),
    )
    literals = {name: sql.Literal(value) for name, value in vars(series).items()}
    literals["instrument_id"] = sql.Literal(instrument_id)
    of_kind = "model_id = {model_id} and window_days = {window_days}"
    names = _names(database) | literals
    names["of_series"] = sql.SQL("region = {region} and " + of_kind).format(**literals)
    names["of_windows"] = sql.SQL("entity_id = {instrument_id} and " + of_kind).format(**literals)
    found = []
    for name, is_fault, rows in checks:
        look_further = sql.SQL("select * from {}").format(sql.SQL(rows).format(**names))
        (count,) = database.execute(
            sql.SQL("select count(*) from ({}) as found").format(look_further)
        ).fetchone()
        found.append(
            {
                "name": name,
                "is_fault": is_fault,
                "found": count,
                "look_further": look_further.as_string(database),
            }
        )
    return found


def _runs(database: Database, series: Series, now: Record) -> list[Record]:
    """The run behind now, and the last ones about the region, newest first."""
    return _query(
        database,
        """
        select
            started_at, command, status, seconds, database_user, regimes_in_force,
            rows_replaced_since, run_id
        from {run_ledger}
        where region = %(region)s or run_id = %(run_id)s
        order by run_id = %(run_id)s desc, started_at desc, run_id
        limit %(limit)s
        """,
        vars(series) | {"run_id": now["run_id"], "limit": LAST_RUNS},
    )


def _kept_failures(database: Database) -> list[Verdict] | None:
    """The rows that the last audit kept, a test each; None where there was none.

    dbt stores neither when it was run nor which tests only warn.
    """
    names = [
        name
        for (name,) in database.execute(
            "select relname from pg_class where relkind = 'r'"
            " and relnamespace = (select oid from pg_namespace where nspname = %s)"
            " order by relname",
            [database.settings.failures_schema],
        )
    ]
    if not names:
        return None
    counts = sql.SQL(" union all ").join(
        sql.SQL("select {}, count(*) from {}").format(
            sql.Literal(name), sql.Identifier(database.settings.failures_schema, name)
        )
        for name in names
    )
    return [
        Verdict(name, "kept" if count else "none", count)
        for name, count in database.execute(counts)
    ]


def _query(database: Database, query: str, parameters: Record) -> list[Record]:
    """The rows of a query whose tables stand in braces, with is_series for those of a series."""
    names = _names(database) | {"is_series": IS_SERIES}
    return fetch_audit(database, sql.SQL(query).format(**names), parameters).records()


def _names(database: Database) -> dict[str, sql.Identifier]:
    return {name: database.table(name) for name in TABLES}
