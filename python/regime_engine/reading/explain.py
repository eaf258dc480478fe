"""Why a region has the label it has on a day."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import sql
from psycopg.rows import dict_row

from regime_engine import encoders
from regime_engine.database import Database
from regime_engine.reading.analogues import analogues
from regime_engine.reading.rows import IS_SERIES, as_written, last_regime_day
from regime_engine.series import GLOBAL, Series

N_MOVED = 5
N_ANALOGUES = 5


@dataclass(frozen=True)
class Moved:
    """A statistic of the embedding: on the earlier day, on the day, and how far it went between.

    in_spreads: the difference over the standard deviation of the series' embeddings so far
    """

    statistic: str
    before: float
    now: float
    in_spreads: float


@dataclass(frozen=True)
class Explanation:
    """What is stored of a regime, and what led to it.

    probabilities: label → probability, the highest first
    evidence: name → label → number, what the classifier saw: distances to the centres, or the
        filter's probabilities before they were calibrated
    novelty: how untypical the window is, a percentile of the training windows, or None
    first_day: of the series; its embeddings from then to as_of_date make the spread of a statistic
    since, changed_from, trading_days_since: the last change of label; None in the first spell
    compared_with: the day before that change, or first_day; None on first_day itself,
        and where that row is gone, which `regime audit` finds
    moved: the statistics that moved most since then, the farthest first
    analogues: the nearest earlier windows of the region, by column of `regime analogues`
    constituents: of the vote of the regions, each with its weight, date, label and run; that has
        no windows of its own, so nothing that moved and no analogues
    model: the version that classified, by column of regime_models; None by the seed rule
    run: the one that wrote the row, by column of regime_runs; None where it is not there
    """

    region: str
    model_id: str
    window_days: int
    as_of_date: date
    regime_label: str
    confidence: float
    runner_up_label: str | None
    probabilities: dict[str, float]
    evidence: dict[str, dict[str, float]]
    novelty: float | None
    in_sample: bool | None
    instrument_id: str
    first_trade_date: str | None
    last_trade_date: str | None
    first_day: date
    since: date | None
    changed_from: str | None
    trading_days_since: int | None
    compared_with: date | None
    moved: list[Moved]
    analogues: list[dict[str, object]]
    constituents: list[dict[str, object]]
    model_version: int
    model: dict[str, object] | None
    run: dict[str, object] | None


def explain(
    database: Database,
    series: Series,
    as_of: date | None = None,
) -> Explanation:
    """The regime of the series' last day up to as_of, by default of its last one at all.

    raises RegimeError where the series has no regime then, or the embedding of that day is gone,
        or a row was edited beyond reading
    """
    day = last_regime_day(database, series, as_of)
    with as_written(series):
        return _explanation(database, series, day)


def _explanation(database: Database, series: Series, day: date) -> Explanation:
    stored = _regime(database, series, day)
    metadata = stored["metadata"]
    by_label = {name: value for name, value in metadata.items() if isinstance(value, dict)}
    before = stored["embedding_before"]
    compared_with = stored["compared_with"] if stored["compared_with"] != day else None
    has_windows = series.region != GLOBAL
    return Explanation(
        **vars(series),
        as_of_date=day,
        **{
            name: stored[name]
            for name in (
                *("regime_label", "confidence", "runner_up_label", "instrument_id", "first_day"),
                *("since", "changed_from", "trading_days_since", "model_version", "model", "run"),
            )
        },
        probabilities=dict(sorted(stored["probabilities"].items(), key=lambda each: -each[1])),
        evidence=by_label,
        novelty=metadata.get("novelty"),
        in_sample=metadata.get("in_sample"),
        first_trade_date=metadata.get("first_trade_date"),
        last_trade_date=metadata.get("last_trade_date"),
        compared_with=compared_with,
        moved=(
            _moved(database, series, day, before, stored["embedding"])[:N_MOVED]
            if has_windows and compared_with
            else []
        ),
        analogues=_analogues(database, series, day) if has_windows else [],
        constituents=metadata.get("constituents", []),
    )


def farthest(
    names: tuple[str, ...], before: np.ndarray, now: np.ndarray, history: np.ndarray
) -> list[Moved]:
    """The statistics by how far they moved, in standard deviations of their history.

    names: k; before, now: (k,); history: (n, k); one that was always the same is left out
    """
    spread = history.std(axis=0)
    moved = [
        Moved(names[i], float(before[i]), float(now[i]), float((now[i] - before[i]) / spread[i]))
        for i in np.flatnonzero(spread)
    ]
    return sorted(moved, key=lambda each: -abs(each.in_spreads))


def _analogues(database: Database, series: Series, day: date) -> list[dict[str, object]]:
    return analogues(database, series, day, N_ANALOGUES).records()


def _moved(
    database: Database,
    series: Series,
    day: date,
    before: bytes,
    now: bytes,
) -> list[Moved]:
    """Empty where the encoder has no statistics, but days alone."""
    encoder = encoders.get(series.model_id)
    names = getattr(encoder, "STATISTICS", ())
    if not names:
        return []
    first = encoder.layout(series.window_days).index(names[0])
    rows = database.execute(
        sql.SQL("""
            select substring(regime_embedding from {first_byte} for {n_bytes})
            from {regimes}
            where {is_series} and as_of_date <= %(day)s
        """).format(
            first_byte=sql.Literal(4 * first + 1),
            n_bytes=sql.Literal(4 * len(names)),
            regimes=database.table("regimes"),
            is_series=IS_SERIES,
        ),
        vars(series) | {"day": day},
        binary=True,
    ).fetchall()
    history = np.frombuffer(b"".join(row for (row,) in rows), "<f4").reshape(-1, len(names))
    of_statistics = slice(first, first + len(names))
    return farthest(
        names,
        *(np.frombuffer(each, "<f4")[of_statistics].astype(float) for each in (before, now)),
        history.astype(float),
    )


def _regime(database: Database, series: Series, day: date) -> dict[str, object]:
    """The row of the day, its model and run, the last change before it and the row before that."""
    return (
        database.cursor(row_factory=dict_row)
        .execute(
            sql.SQL("""
                select
                    stored.instrument_id, stored.regime_label, stored.confidence,
                    stored.runner_up_label, stored.probabilities, stored.metadata,
                    stored.model_version, stored.regime_embedding as embedding,
                    change.as_of_date as since, change.from_regime_label as changed_from,
                    case
                        when change.as_of_date is not null
                            then (
                                select count(*)
                                from {features}
                                where
                                    instrument_id = stored.instrument_id
                                    and trade_date > change.as_of_date
                                    and trade_date <= stored.as_of_date
                            )
                    end as trading_days_since,
                    beginning.first_day,
                    earlier.as_of_date as compared_with,
                    earlier.regime_embedding as embedding_before,
                    (
                        select jsonb_build_object(
                            'classifier', classifier, 'labels', labels,
                            'trained_from', trained_from, 'trained_to', trained_to,
                            'n_windows', n_windows, 'valid_from', valid_from,
                            'parameters_hash', parameters_hash
                        )
                        from {models}
                        where {is_series} and version = stored.model_version
                    ) as model,
                    (
                        select jsonb_build_object(
                            'run_id', run_id, 'command', command, 'status', status,
                            'started_at', started_at, 'package_version', package_version,
                            'database_user', database_user, 'host', host
                        )
                        from {runs}
                        where run_id = stored.run_id
                    ) as run
                from {regimes} as stored
                left join lateral (
                    select as_of_date, previous_as_of_date, from_regime_label
                    from {transitions}
                    where {is_series} and as_of_date <= %(day)s
                    order by as_of_date desc
                    limit 1
                ) as change on true
                cross join lateral (
                    select min(as_of_date) as first_day from {regimes} where {is_series}
                ) as beginning
                left join {regimes} as earlier
                    on
                        earlier.region = stored.region
                        and earlier.model_id = stored.model_id
                        and earlier.window_days = stored.window_days
                        and earlier.as_of_date
                        = coalesce(change.previous_as_of_date, beginning.first_day)
                where
                    stored.region = %(region)s
                    and stored.as_of_date = %(day)s
                    and stored.model_id = %(model_id)s
                    and stored.window_days = %(window_days)s
            """).format(
                is_series=IS_SERIES,
                **{
                    name: database.table(table)
                    for name, table in (
                        ("features", "daily_features"),
                        ("regimes", "regimes"),
                        ("transitions", "regime_transitions"),
                        ("models", "regime_models"),
                        ("runs", "regime_runs"),
                    )
                },
            ),
            vars(series) | {"day": day},
        )
        .fetchone()
    )
