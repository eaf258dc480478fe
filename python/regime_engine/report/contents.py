"""What a report says of its regions: what the reading commands answer and the audit views show."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import sql

from regime_engine import seeds
from regime_engine.database import Database, Query, Record, Rows
from regime_engine.database.statements import statement
from regime_engine.engine import nightly
from regime_engine.errors import RegimeError
from regime_engine.reading import performance, score, scored_days, volatility
from regime_engine.reading.analogues import Analogue, analogues
from regime_engine.reading.forecast import Calibration, Forecast, calibration, forecast
from regime_engine.reading.matrix import Cell, matrix
from regime_engine.reading.performance import Benchmark, Performance
from regime_engine.reading.rows import IS_SERIES, fetch_audit
from regime_engine.reading.suspicions import Suspicions
from regime_engine.reading.verdicts import VerdictHistory, history
from regime_engine.series import Series

FEW = 6
LAST_RUNS = 12
# Trading days ahead; they are close together where the forecast bends.
HORIZONS = (0, 1, 2, 3, 5, 8, 10, 15, 21, 31, 42, 52, 63)
CALIBRATED_HORIZON = 21


@dataclass(frozen=True)
class Day:
    """A trading day of the view regime_timeline. probabilities: label → probability

    log_return: of the adjusted close
    realised_volatility_21_days_after: of the view volatility_forecasts; no label may depend on it

    The fields of a regime are None, and probabilities is empty, on a day without a regime.
    """

    as_of_date: date
    instrument_id: str
    regime_label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    novelty: float | None
    expected_volatility: float | None
    realised_volatility_21_days_after: float | None
    days_since_change: int | None
    model_version: int | None
    is_in_sample: bool | None
    close: float | None
    log_return: float | None
    drawdown: float | None
    run_id: UUID | None


@dataclass(frozen=True)
class Spell:
    """A row of the view regime_spells: an unbroken stretch of one label."""

    regime_label: str
    start_date: date
    end_date: date
    is_open: bool
    trading_days: int
    mean_confidence: float
    total_return: float | None
    annualised_volatility: float | None
    worst_drawdown: float | None
    entered_from_label: str | None


@dataclass(frozen=True)
class Profile:
    """A row of the view label_profile: what the market did on the days of a label."""

    regime_label: str
    days: int
    share_of_days: float
    annualised_return: float | None
    annualised_volatility: float | None
    worst_day_return: float | None
    hit_rate_21_days: float | None


@dataclass(frozen=True)
class ModelVersion:
    """A row of the view model_lineage, with the parameters and metrics of regime_models.

    Most fields are None for the seed rule and for a vote. versions: how many the series has
    """

    classifier: str | None
    labels: list[str] | None
    trained_from: date | None
    trained_to: date | None
    n_windows: int | None
    training_hash: str | None
    valid_from: date | None
    fitted_by_user: str | None
    fitted_at: datetime | None
    classified_at: datetime | None
    rows_in_force: int
    first_date: date | None
    last_date: date | None
    parameters: dict[str, Any] | None
    metrics: dict[str, Any] | None
    versions: int


@dataclass(frozen=True)
class Check:
    """A count of rows in the audit views. look_further: the SQL that shows the rows

    is_fault: whether such a row is wrong; if not, it is something that a reader should know
    """

    name: str
    is_fault: bool
    found: int
    look_further: str


@dataclass(frozen=True)
class LedgerRun:
    """A row of the view run_ledger."""

    started_at: datetime
    command: str
    status: str
    seconds: float | None
    database_user: str
    regimes_in_force: int
    rows_replaced_since: int
    run_id: UUID


@dataclass(frozen=True)
class Beforehand:
    """What is known of a region before it is read: what is as quickly read of all regions at once.

    number: its place in the report, from 0
    description: of the region's instrument, if it has one
    suspicions: None if the last regime rests on no suspicious price
    suspicious_prices: instrument → how many it has, of all instruments that have some
    benchmark: None if none was asked for
    """

    number: int
    series: Series
    description: str | None
    suspicions: Suspicions | None
    suspicious_prices: dict[str, int]
    benchmark: Benchmark | None


@dataclass(frozen=True)
class RegionReport:
    """All that is shown of one region.

    number: its place in the report, from 0
    labels: calmest first; latest: the last day that has a regime; version: the model that gave it
    description: of the region's instrument, if it has one
    suspicions: None if the last regime rests on no suspicious price
    found_by_audit: test of the last audit → how many of its rows are of this region
    score, performance: None if they cannot be told
    why_empty: the reason why analogues, calibration, volatility or score is empty, by name of the
        field
    """

    number: int
    series: Series
    description: str | None
    labels: list[str]
    latest: Day
    days: list[Day]
    spells: list[Spell]
    matrix: list[Cell]
    profile: list[Profile]
    version: ModelVersion
    checks: list[Check]
    runs: list[LedgerRun]
    forecast: list[Forecast]
    calibration: list[Calibration]
    volatility: list[volatility.Score]
    analogues: list[Analogue]
    found_by_audit: dict[str, int]
    score: score.Score | None
    performance: Performance | None
    suspicions: Suspicions | None
    why_empty: dict[str, str]

    @property
    def closed_spells(self) -> list[Spell]:
        return [spell for spell in self.spells if not spell.is_open]


@dataclass(frozen=True)
class Audit:
    """What is known of the dbt audit when a report is written.

    verdicts: one a test of the last audit, the failed ones first; empty if none was recorded
    descriptions: of the tests by name, if the audit was run for this report
    """

    verdicts: list[VerdictHistory]
    descriptions: dict[str, str] | None
    written_at: datetime

    @property
    def audited_at(self) -> datetime | None:
        return self.verdicts[0].audited_at if self.verdicts else None

    @property
    def failed(self) -> list[VerdictHistory]:
        return [each for each in self.verdicts if each.verdict == "FAIL"]

    @property
    def warned(self) -> list[VerdictHistory]:
        return [each for each in self.verdicts if each.verdict == "WARN"]


@dataclass(frozen=True)
class Shared:
    """What the regions of a report have in common."""

    model_id: str
    window_days: int
    n_regions: int
    audit: Audit

    @property
    def are_few(self) -> bool:
        """Whether the page has the regions as plain HTML, and a PDF has their pages."""
        return self.n_regions <= FEW


def audit(database: Database) -> dict[str, str]:
    """Run the dbt audit; the description of each test, by name."""
    results, _ = nightly.audit(database, rows_shown=0)
    return {each.name: " ".join(each.description.split()) for each in results}


def audit_of(database: Database, descriptions: dict[str, str] | None) -> Audit:
    """What is known of the last audit. descriptions: of one that was just run"""
    verdicts = history(database).records(VerdictHistory)
    return Audit(verdicts, descriptions, written_at=datetime.now(UTC))


def read_region(database: Database, beforehand: Beforehand) -> RegionReport:
    """All that a report shows of a region. The caller's transaction keeps it to one moment."""
    series = beforehand.series
    days = _rows_of(database, series, Day, statement(__package__, "days"))
    latest = next(day for day in reversed(days) if day.regime_label is not None)
    [version] = _rows_of(
        database,
        series,
        ModelVersion,
        statement(__package__, "model_version"),
        model_version=latest.model_version,
        run_id=latest.run_id,
    )
    spells = "select {columns} from {regime_spells} where {is_series} order by spell_number"
    profile = "select {columns} from {label_profile} where {is_series} order by regime_label"
    known = seeds.labels(database)
    occurring = {label for day in days for label in (day.regime_label, *day.probabilities)}
    why_empty: dict[str, str] = {}

    def unless_refused(
        panel: str, read: Callable[..., Rows[Record]], kind: type[Record], **options: object
    ) -> list[Record]:
        try:
            return read(database, series, **options).records(kind)
        except RegimeError as error:
            why_empty[panel] = str(error)
            return []

    rule = scored_days.Rule()
    try:
        scored = scored_days.read(database, series, rule)
    except RegimeError as error:
        scored, why_empty["score"] = None, str(error)

    return RegionReport(
        number=beforehand.number,
        series=series,
        description=beforehand.description,
        labels=[*known, *sorted(label for label in occurring - {*known} if label is not None)],
        latest=latest,
        days=days,
        spells=_rows_of(database, series, Spell, spells),
        matrix=matrix(database, series).records(Cell),
        profile=_rows_of(database, series, Profile, profile),
        version=version,
        checks=_checks(database, series, latest.instrument_id, beforehand),
        runs=_runs(database, series, latest),
        forecast=forecast(database, series, HORIZONS).records(Forecast),
        calibration=unless_refused(
            "calibration", calibration, Calibration, horizon=CALIBRATED_HORIZON
        ),
        volatility=unless_refused("volatility", volatility.score, volatility.Score),
        analogues=unless_refused("analogues", analogues, Analogue),
        found_by_audit=_found_of_region(database, series.region),
        score=score.of_days(scored, series, rule) if scored else None,
        performance=(
            performance.performance(scored, rule, beforehand.benchmark) if scored else None
        ),
        suspicions=beforehand.suspicions,
        why_empty=why_empty,
    )


def _runs(database: Database, series: Series, latest: Day) -> list[LedgerRun]:
    """The run that wrote the latest regime, then the last ones about the region, newest first."""
    query = """
        select {columns}
        from {run_ledger}
        where region = %(region)s or run_id = %(run_id)s
        order by run_id = %(run_id)s desc, started_at desc, run_id
        limit %(limit)s
    """
    return _rows_of(database, series, LedgerRun, query, run_id=latest.run_id, limit=LAST_RUNS)


def _rows_of(
    database: Database, series: Series, kind: type[Record], query: Query, **parameters: object
) -> list[Record]:
    """The rows of a query about the series. Its slot {columns} takes the fields of the kind."""
    columns = sql.SQL(", ").join(map(sql.Identifier, kind.__annotations__))
    rows = fetch_audit(
        database, query, vars(series) | parameters, columns=columns, is_series=IS_SERIES
    )
    return rows.records(kind)


class _Counted(NamedTuple):
    """Rows of an audit view. scope, rows: conditions in SQL, of the series and of these rows"""

    name: str
    is_fault: bool
    view: str
    scope: LiteralString
    rows: LiteralString


_OF_SERIES: LiteralString = (
    "region = {region} and model_id = {model_id} and window_days = {window_days}"
)
_OF_WINDOWS: LiteralString = (
    "entity_id = {instrument_id} and model_id = {model_id} and window_days = {window_days}"
)
_COUNTED = (
    _Counted(
        "Transitions that disagree with the regimes",
        True,
        "transition_reconciliation",
        _OF_SERIES,
        "verdict <> 'agrees'",
    ),
    _Counted(
        "Regimes of runs that did not succeed",
        True,
        "regime_timeline",
        _OF_SERIES,
        "run_id in (select run_id from {run_ledger} where status <> 'SUCCEEDED')",
    ),
    _Counted(
        "Unsound embeddings",
        True,
        "embedding_integrity",
        _OF_WINDOWS,
        "cardinality(faults) > 0",
    ),
    _Counted(
        "Embeddings whose prices were restated since",
        False,
        "embedding_integrity",
        _OF_WINDOWS,
        "status = 'restated'",
    ),
    _Counted("Trading days without a regime", False, "regime_timeline", _OF_SERIES, "is_missing"),
    _Counted(
        "Days labelled by a model that was trained on them",
        False,
        "regime_timeline",
        _OF_SERIES,
        "is_in_sample",
    ),
)


def _checks(
    database: Database, series: Series, instrument_id: str, beforehand: Beforehand
) -> list[Check]:
    """What the audit views find now, each with a query that can be pasted into psql."""
    literals = {name: sql.Literal(value) for name, value in vars(series).items()}
    literals["instrument_id"] = sql.Literal(instrument_id)
    found: dict[str, int] = {}
    # A view is read once, whatever is counted in it.
    by_view = groupby(sorted(_COUNTED, key=lambda each: each.view), lambda each: each.view)
    for view, (first, *others) in by_view:
        counts = database.one(
            "select {counts} from {view} where {scope}",
            view=database.table(view),
            scope=database.compose(first.scope, **literals),
            counts=sql.SQL(", ").join(
                sql.SQL("count(*) filter (where {})").format(database.compose(each.rows))
                for each in (first, *others)
            ),
        )
        found |= zip((each.name for each in (first, *others)), counts, strict=True)

    def look_further(view: str, *conditions: LiteralString) -> str:
        query = sql.SQL("select * from {} where {}").format(
            database.table(view),
            sql.SQL(" and ").join(database.compose(each, **literals) for each in conditions),
        )
        return query.as_string(database.connection)

    suspicious = Check(
        "Prices that look suspicious",
        is_fault=False,
        found=beforehand.suspicious_prices.get(instrument_id, 0),
        look_further=look_further("price_suspicions", "instrument_id = {instrument_id}"),
    )
    return [
        *(
            Check(each.name, each.is_fault, found[each.name], look_further(*each[2:]))
            for each in _COUNTED
        ),
        suspicious,
    ]


def _found_of_region(database: Database, region: str) -> dict[str, int]:
    """Test → how many of the rows that its last audit found are of this region.

    A test whose rows do not name a region is left out.
    """
    schema = database.settings.failures_schema
    names = database.execute(
        """
        select tables.relname
        from pg_class as tables
        inner join pg_attribute as columns on columns.attrelid = tables.oid
        where
            tables.relnamespace = (select oid from pg_namespace where nspname = %s)
            and tables.relkind = 'r'
            and columns.attname = 'region'
            and not columns.attisdropped
        """,
        [schema],
    ).fetchall()
    if not names:
        return {}
    counts = sql.SQL(" union all ").join(
        sql.SQL("select {}, count(*) from {} where region = {}").format(
            sql.Literal(name), sql.Identifier(schema, name), sql.Literal(region)
        )
        for (name,) in names
    )
    return dict(database.execute(counts).fetchall())
