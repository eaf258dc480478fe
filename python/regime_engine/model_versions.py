"""Fitted models as records: save, load, and which one is valid on a date."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np

from regime_engine.database import Database, document, row_hash
from regime_engine.database.statements import names
from regime_engine.errors import RegimeError
from regime_engine.runs import Run, add_rows_written, orphaned
from regime_engine.series import Series


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


# The columns of regime_models that say what a version is; its parameters_hash is over them.
COLUMNS = [
    field.name for kind in (Series, FittedModel) for field in fields(kind) if field.name != "series"
]


def flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """(name, value) of each leaf of nested dicts; dicts in a list are counted from 0.

    As in parameters.experts.0.nu. name: of the value itself, "" for none
    """
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield name, value
        return
    for key, each in value.items():
        yield from flat(f"{name}.{key}" if name else str(key), each)


def load(database: Database, series: Series) -> list[FittedModel]:
    """All versions of a series, in the order in which they become valid."""
    rows = database.execute(
        """
        select
            version, classifier, labels, parameters, trained_from, trained_to, n_windows,
            training_hash, metrics, valid_from
        from {regime_models}
        where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
        order by valid_from, version
        """,
        vars(series),
    )
    return [
        FittedModel(series, version, classifier, tuple(labels), *rest)
        for version, classifier, labels, *rest in rows
    ]


def save(database: Database, run: Run, fitted: list[FittedModel]) -> list[FittedModel]:
    """Store models under the next free versions; one that has a version is stored already.

    To be called in a transaction that holds the lock of the series.
    """
    series = fitted[0].series
    stored = load(database, series)
    last = version = max((model.version for model in stored), default=0)
    saved = []
    for model in fitted:
        known = in_force(stored, model.valid_from)
        if model.version or (known and replace(known, version=0) == model):
            saved.append(known or model)
            continue
        version += 1
        saved.append(replace(model, version=version))
        _insert(database, run, saved[-1])
    database.execute(
        """
        update {regime_models} as stored
        set run_id = %(run_id)s
        where
            region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
            and version = any(%(versions)s)
            and {orphaned}
        """,
        vars(series) | {"run_id": run.run_id, "versions": [model.version for model in saved]},
        orphaned=orphaned(database),
    )
    add_rows_written(database, run, {"regime_models": version - last})
    return saved


def _insert(database: Database, run: Run, model: FittedModel) -> None:
    database.execute(
        """
        insert into {regime_models} ({columns}, parameters_hash, run_id, created_at)
        select {columns}, {parameters_hash}, %(run_id)s, clock_timestamp()
        from jsonb_populate_record(null::{regime_models}, %(model)s)
        """,
        {"model": document(vars(model.series) | vars(model)), "run_id": run.run_id},
        columns=names(COLUMNS),
        parameters_hash=row_hash(", ".join(COLUMNS)),
    )


def one(models: list[FittedModel], version: int) -> FittedModel:
    """The model of this version; raises RegimeError naming those there are."""
    known = {model.version: model for model in models}
    if version not in known:
        versions = ", ".join(map(str, sorted(known))) or "none"
        raise RegimeError(f"the series has no model version {version}: its versions are {versions}")
    return known[version]


def in_force(versions: list[FittedModel], valid_from: date) -> FittedModel | None:
    """Of the versions with this first valid day, the last one stored: that which classifies."""
    same_day = (model for model in versions if model.valid_from == valid_from)
    return max(same_day, key=lambda model: model.version, default=None)


def valid_on(versions: list[FittedModel], dates: np.ndarray) -> np.ndarray:
    """Position in `versions` of the one valid on each date, -1 before the first.

    versions: by valid_from; dates: (n,) datetime64[D]; returns (n,) int
    """
    valid_from = np.array([model.valid_from for model in versions], "datetime64[D]")
    return np.searchsorted(valid_from, dates, side="right") - 1
