"""Fitted models as records: save, load, and which one is valid on a date."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from regime_engine.config import Settings
from regime_engine.runs import Run, add_rows_written


@dataclass(frozen=True)
class Series:
    """What a regime history is one of: a region, seen through an encoder and a window length."""

    region: str
    model_id: str
    window_days: int

    def __str__(self) -> str:
        return f"{self.region}/{self.model_id}/{self.window_days}"


@dataclass(frozen=True)
class FittedModel:
    """A version of a series' model, as in regime_models.

    parameters: what `from_json` of the classifier reads, with the labels
    """

    series: Series
    version: int
    classifier: str
    labels: tuple[str, ...]
    parameters: dict
    trained_from: date
    trained_to: date
    n_windows: int
    training_hash: str
    metrics: dict
    valid_from: date


def load(connection: psycopg.Connection, settings: Settings, series: Series) -> list[FittedModel]:
    """All versions of a series, in the order in which they become valid."""
    rows = connection.execute(
        sql.SQL("""
            select
                version, classifier, labels, parameters, trained_from, trained_to, n_windows,
                training_hash, metrics, valid_from
            from {}
            where region = %s and model_id = %s and window_days = %s
            order by valid_from, version
        """).format(_table(settings)),
        [series.region, series.model_id, series.window_days],
    ).fetchall()
    return [
        FittedModel(series, version, classifier, tuple(labels), *rest)
        for version, classifier, labels, *rest in rows
    ]


def save(
    connection: psycopg.Connection, settings: Settings, run: Run, model: FittedModel
) -> FittedModel:
    """Store a model under the next free version; one that is stored already keeps its own.

    To be called in a transaction that holds the lock of the series.
    """
    same = [
        known
        for known in load(connection, settings, model.series)
        if _content(known) == _content(model)
    ]
    if same:
        return same[-1]
    series = model.series
    (version,) = connection.execute(
        sql.SQL("""
            insert into {table} (
                region, model_id, window_days, version, classifier, labels, parameters,
                trained_from, trained_to, n_windows, training_hash, metrics, valid_from,
                run_id, created_at
            )
            select
                %(region)s, %(model_id)s, %(window_days)s, coalesce(max(version), 0) + 1,
                %(classifier)s, %(labels)s, %(parameters)s, %(trained_from)s, %(trained_to)s,
                %(n_windows)s, %(training_hash)s, %(metrics)s, %(valid_from)s, %(run_id)s, now()
            from {table}
            where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
            returning version
        """).format(table=_table(settings)),
        {
            "region": series.region,
            "model_id": series.model_id,
            "window_days": series.window_days,
            "classifier": model.classifier,
            "labels": list(model.labels),
            "parameters": Jsonb(model.parameters),
            "trained_from": model.trained_from,
            "trained_to": model.trained_to,
            "n_windows": model.n_windows,
            "training_hash": model.training_hash,
            "metrics": Jsonb(model.metrics),
            "valid_from": model.valid_from,
            "run_id": run.run_id,
        },
    ).fetchone()
    add_rows_written(connection, settings, run, {"regime_models": 1})
    return replace(model, version=version)


def valid_on(versions: list[FittedModel], dates: np.ndarray) -> np.ndarray:
    """Position in `versions` of the one valid on each date, -1 before the first.

    versions: by valid_from; dates: (n,) datetime64[D]; returns (n,) int
    """
    valid_from = np.array([model.valid_from for model in versions], "datetime64[D]")
    return np.searchsorted(valid_from, dates, side="right") - 1


def _content(model: FittedModel) -> dict:
    return {name: value for name, value in vars(model).items() if name != "version"}


def _table(settings: Settings) -> sql.Identifier:
    return sql.Identifier(settings.runtime_schema, "regime_models")
