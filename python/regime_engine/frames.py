"""The stored regimes as data frames: what `regime` prints, for Python."""

import importlib.util
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeAlias, TypeVar, get_args

import numpy as np
import polars as pl
import psycopg

from regime_engine import seeds
from regime_engine.config import Settings
from regime_engine.database import Database, Rows, connect, explain
from regime_engine.encoders import DEFAULT
from regime_engine.errors import RegimeError
from regime_engine.reading import explain as explaining
from regime_engine.reading import forecast as forecasting
from regime_engine.reading import tables
from regime_engine.reading.embeddings import Embeddings, embeddings
from regime_engine.reading.explain import Explanation
from regime_engine.reading.matrix import matrix
from regime_engine.reading.rows import as_written
from regime_engine.reading.suspicions import suspicions
from regime_engine.series import MAX_HORIZON, Series

Library = Literal["polars", "pandas"]
# A DataFrame of the library that is asked for.
Frame: TypeAlias = Any
# A date, a datetime of Python, pandas or numpy, or a text YYYY-MM-DD.
Day: TypeAlias = date | np.datetime64 | str

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_OF_TYPE: dict[pl.DataType | type[pl.DataType], str] = {
    pl.Date: "as_of_date previous_as_of_date start_date end_date",
    pl.String: """
        region instrument_id description regime_label runner_up_label suspicious_prices
        from_regime_label to_regime_label from_label to_label label entered_from_label left_to_label
    """,
    pl.Int64: "model_version transitions spell_number trading_days missing_days horizon",
    pl.Boolean: "is_open",
}
# The type of each column that is not a Float64.
TYPES = {column: kind for kind, columns in _OF_TYPE.items() for column in columns.split()}


def open_database(
    database_url: str | None = None,
    *,
    model_id: str = DEFAULT.MODEL_ID,
    window_days: int = DEFAULT.WINDOW_DAYS,
    frame: Library = "polars",
) -> "RegimeDatabase":
    """Connect to the database in which `regime` stored its results; close it, or use `with`.

    database_url: else REGIME_DATABASE_URL or what `regime` uses
    model_id, window_days: the encoder and the window length whose regimes are read
    frame: the library of the frames, polars or pandas

    raises RegimeError if there is no connection, ValueError for another frame
    """
    settings = Settings.from_environment(database_url)
    days = _whole("window_days", window_days)
    return RegimeDatabase(settings, _text("model_id", model_id), days, _known(frame))


class RegimeDatabase:
    """What is stored of regimes, by one encoder and window length. Nothing is ever written.

    Every method gives what the command or view of its name gives, oldest rows first. start and end
    are both included; a day is a date, a datetime, a numpy.datetime64 or a text YYYY-MM-DD.

    Each method raises RegimeError, with a message of one line, for an unknown region, for a region
    without regimes, if the database cannot answer, and once it is closed; ValueError or TypeError
    for what is no day; ValueError for another frame than polars or pandas.
    """

    def __init__(self, settings: Settings, model_id: str, window_days: int, frame: Library) -> None:
        self.model_id = model_id
        self.window_days = window_days
        self.frame = frame
        self._settings = settings
        self._database: Database | None = connect(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self._database else "closed"
        return f"<RegimeDatabase {self.model_id}/{self.window_days}, {state}>"

    def close(self) -> None:
        """End the connection; a second call does nothing."""
        if self._database:
            self._database.__exit__()
        self._database = None

    def regions(self, *, frame: Library | None = None) -> Frame:
        """One row a region: its instrument, description and weight in the vote GLOBAL."""
        known = self._read(seeds.regions)
        rows = [tuple(vars(region).values()) for region in known.values()]
        return self._frame(Rows(list(seeds.Region.__annotations__), rows), frame)

    def regimes(
        self,
        region: str,
        start: Day | None = None,
        end: Day | None = None,
        *,
        frame: Library | None = None,
    ) -> Frame:
        """One row a date: label, confidence, and in `probability_…` that of each label."""
        first, last = _stretch(start, end)
        rows = self._read(tables.regimes, self._series(region), first, last)
        return self._of_library(self._regimes(rows), frame)

    def latest(self, region: str | None = None, *, frame: Library | None = None) -> Frame:
        """The newest regime of the region, or of each that has one, with the columns of `regimes`
        and suspicious_prices: how many it rests on, None if there are none."""
        name = None if region is None else _text("region", region)
        newest = self._regimes(self._read(tables.latest, self.model_id, self.window_days, name))
        doubts: dict[str, str] = {}
        try:
            found = self._read(suspicions, [self._series(each) for each in newest["region"]])
            doubts = {each.region: each.summary for each in found}
        except RegimeError as error:
            warnings.warn(f"suspicious prices are not known: {error}", stacklevel=2)
        doubted = pl.Series([doubts.get(each) for each in newest["region"]], dtype=pl.String)
        return self._of_library(newest.with_columns(suspicious_prices=doubted), frame)

    def transitions(
        self,
        region: str,
        start: Day | None = None,
        end: Day | None = None,
        *,
        frame: Library | None = None,
    ) -> Frame:
        """One row a change of label: the labels before and after, and their confidences."""
        first, last = _stretch(start, end)
        rows = self._read(tables.transitions, self._series(region), first, last)
        return self._frame(rows, frame, region=region)

    def spells(
        self,
        region: str,
        start: Day | None = None,
        end: Day | None = None,
        *,
        frame: Library | None = None,
    ) -> Frame:
        """One row an unbroken stretch of one label, with its return and volatility: the view
        regime_spells. A spell that has a day from start to end is there as a whole."""
        first, last = _stretch(start, end)
        return self._frame(self._read(tables.spells, self._series(region), first, last), frame)

    def transition_matrix(self, region: str, *, frame: Library | None = None) -> Frame:
        """One row a pair of labels, calmest first: how often the second follows the first."""
        rows = self._read(matrix, self._series(region), shrink=True)
        return self._frame(rows, frame, region=region)

    def forecast(
        self,
        region: str,
        horizons: int | Iterable[int] = 21,
        as_of: Day | None = None,
        *,
        frame: Library | None = None,
    ) -> Frame:
        """One row a horizon and label: how likely the label is after so many trading days.

        horizons: one or several; as_of: nothing after that day is used
        raises ValueError for a horizon below 1 or above 1000
        """
        asked: Iterable[int] = [horizons]  # type: ignore[list-item]
        if isinstance(horizons, Iterable) and not isinstance(horizons, str):
            asked = horizons
        days = list(dict.fromkeys(_whole("horizons", each) for each in asked))
        if not days or min(days) < 1 or max(days) > MAX_HORIZON:
            raise ValueError(f"horizons are 1 to {MAX_HORIZON} trading days, not {horizons!r}")
        rows = self._read(forecasting.forecast, self._series(region), days, _day("as_of", as_of))
        return self._frame(rows, frame, region=region)

    def explain(self, region: str, as_of: Day | None = None) -> Explanation:
        """Why the region has its label on a day: all that `regime explain` prints, by name.

        as_of: by default the last day
        """
        return self._read(explaining.explain, self._series(region), _day("as_of", as_of))

    def embeddings(
        self, instrument_id: str, start: Day | None = None, end: Day | None = None
    ) -> Embeddings:
        """The embeddings of an instrument: their days, (n,) datetime64[D], and vectors, (n, d)."""
        first, last = _stretch(start, end)
        name = _text("instrument_id", instrument_id)
        return self._read(embeddings, name, self.model_id, self.window_days, first, last)

    def _regimes(self, rows: Rows[Any]) -> pl.DataFrame:
        """The rows of tables.regimes, with a column for the probability of each label."""
        told: list[dict[str, float]] = []
        for region, *_, probabilities in rows.rows:
            with as_written(self._series(region)):
                told.append({label: float(p) for label, p in probabilities.items()})
        known = self._read(seeds.labels)
        others = {label for each in told for label in each} - {*known}
        return _polars(Rows(rows.headers[:-1], [row[:-1] for row in rows.rows])).with_columns(
            pl.Series(f"probability_{label}", [each.get(label) for each in told], pl.Float64)
            for label in (*known, *sorted(others))
        )

    def _series(self, region: str) -> Series:
        return Series(_text("region", region), self.model_id, self.window_days)

    def _read(
        self,
        ask: Callable[Concatenate[Database, Asked], Answer],
        *arguments: Asked.args,
        **options: Asked.kwargs,
    ) -> Answer:
        """What the function reads; over a new connection if the server has ended the old one."""
        if self._database is None:
            raise RegimeError("this database is closed: call open_database() again")
        with _in_one_line():
            try:
                return ask(self._database, *arguments, **options)
            except psycopg.OperationalError:
                if not self._database.connection.closed:
                    raise
            lost, self._database = self._database, connect(self._settings)
            lost.__exit__()
            return ask(self._database, *arguments, **options)

    def _frame(self, rows: Rows[Any], frame: Library | None, **first: str) -> Frame:
        """first: columns that come before those of the rows, each with one value"""
        return self._of_library(_polars(rows, **first), frame)

    def _of_library(self, rows: pl.DataFrame, frame: Library | None) -> Frame:
        library = self.frame if frame is None else _known(frame)
        return rows if library == "polars" else _pandas(rows)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Raise what the database refused as a RegimeError."""
    try:
        yield
    except psycopg.Error as error:
        raise RegimeError(explain(error)) from None


def _known(frame: Library) -> Library:
    """raises ValueError for another library, RegimeError if it is not installed"""
    if frame not in get_args(Library):
        raise ValueError(f"frame is {' or '.join(map(repr, get_args(Library)))}, not {frame!r}")
    if importlib.util.find_spec(frame) is None:
        raise RegimeError(f"{frame} is not installed: install it, or leave frame={frame!r} out")
    return frame


def _polars(rows: Rows[Any], **first: str) -> pl.DataFrame:
    types = {name: TYPES.get(name, pl.Float64) for name in rows.headers}
    found = pl.DataFrame(rows.rows, types, orient="row")
    return found.select(*(pl.lit(value).alias(name) for name, value in first.items()), pl.all())


def _pandas(rows: pl.DataFrame) -> Frame:
    """The same columns; a date becomes datetime64[ns]. Arrow is not needed."""
    import pandas

    moments = rows.cast({pl.Date: pl.Datetime("ns")})
    return pandas.DataFrame({column.name: column.to_numpy() for column in moments})


def _stretch(start: Day | None, end: Day | None) -> tuple[date | None, date | None]:
    first, last = _day("start", start), _day("end", end)
    if first and last and first > last:
        raise ValueError(f"start {first} is after end {last}")
    return first, last


def _day(name: str, given: Day | None) -> date | None:
    """The day of an argument; raises ValueError or TypeError, with its name"""
    day: object = given
    try:
        if day != day:  # a NaT
            raise ValueError
        if isinstance(day, np.datetime64):
            day = day.astype("datetime64[D]").item()
        elif isinstance(day, str):
            day = datetime.fromisoformat(day)
        if isinstance(day, datetime):
            day = day.date()
    except ValueError:
        raise ValueError(f"{name} is a day such as '2008-09-15', not {given!r}") from None
    if day is not None and not isinstance(day, date):
        raise TypeError(f"{name} is a day such as '2008-09-15', not {given!r}")
    return day


def _whole(name: str, given: object) -> int:
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {given!r}") from None


def _text(name: str, given: object) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{name} is a text, not {given!r}")
    return given
