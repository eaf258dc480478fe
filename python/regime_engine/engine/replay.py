"""What is stored, computed anew from the prices of this moment and compared byte for byte.

It only reads. Features come from the view expected_features, so that it believes no forged row of
daily_features. A regime is classified by the stored model that its row names, and a vote is counted
of the regimes as they were computed.
"""

import contextlib
import json
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np

from regime_engine import __version__, encoders, features, model_versions, seeds, windows
from regime_engine.database import Database, canonical
from regime_engine.database.statements import statement
from regime_engine.encoders import Encoder
from regime_engine.engine import classify, comparison, fit, vote
from regime_engine.engine.classify import BATCH_WINDOWS, Progress, no_progress
from regime_engine.engine.comparison import Change, Comparison, Contents, Difference, Verdict
from regime_engine.errors import RegimeError
from regime_engine.model_versions import FittedModel
from regime_engine.series import GLOBAL, Series
from regime_engine.store import embeddings, regimes
from regime_engine.trading_days import trading_days_a_year
from regime_engine.windows import Stretch

EMBEDDINGS, REGIMES = embeddings.EMBEDDINGS.name, regimes.REGIMES.name
TRANSITIONS, MODELS = "regime_transitions", "regime_models"
# Of the doubts about a fit, the one that rests on audit.price_suspicions.
SUSPICIOUS = "suspicious prices"
# What a forged model or a forged run can cause where it is read as if it were none.
_UNREADABLE = (RegimeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

Changes: TypeAlias = tuple[Change, ...]


@dataclass(frozen=True)
class Request:
    """regions: only these, () for all; since: only rows of this date or later ones
    fits: fit the models anew too, which takes as long as it took
    """

    regions: tuple[str, ...] = ()
    since: date | None = None
    fits: bool = False


class _Run(NamedTuple):
    """A run of the ledger; times in seconds."""

    command: str
    status: str
    parameters: dict[str, Any]
    failures: dict[str, str]
    package_version: str
    started: float
    finished: float

    def may_remove(self, region: str) -> bool:
        """Whether it may have removed regimes of a region."""
        return self.parameters.get("region") in (region, None)

    def is_by(self, model_id: str, window_days: int) -> bool:
        """Whether it did all that was asked, by this encoder."""
        encoding = (self.parameters.get("model_id"), self.parameters.get("window_days"))
        return self.status == "SUCCEEDED" and encoding == (model_id, window_days)

    def embeds(self, unit: "_Unit") -> bool:
        """Whether it replaced each embedding of its days that was not of the prices."""
        asked, instrument_id = self.parameters, unit.instrument_id
        if not self.is_by(unit.model_id, unit.window_days):
            return False
        if self.command == "backfill":
            return bool(asked.get("instrument_id") == instrument_id)
        named = asked.get("instrument_ids")
        return (
            self.command == "embed"
            and (named == "all" or (isinstance(named, list) and instrument_id in named))
            and asked.get("shard") == "1/1"
            and instrument_id not in self.failures
        )

    def classifies(self, series: Series, instrument_id: str) -> bool:
        """Whether it replaced each regime of its days that was not by the version in force."""
        asked = self.parameters
        return (
            self.command == "backfill"
            and self.embeds(_Unit(instrument_id, series.model_id, series.window_days))
            and asked.get("region") == series.region
            and asked.get("model_version") is None
        )


_NO_RUN = _Run("", "", {}, {}, "an unknown version", -np.inf, np.inf)


class _Unit(NamedTuple):
    """Windows of one instrument by one encoder."""

    instrument_id: str
    model_id: str
    window_days: int


class _Embedding(NamedTuple):
    """A stored embedding."""

    as_of_date: date
    window_spec: str
    vector: bytes
    dimension: str
    window_hash: str
    row_hash: str
    run_id: UUID
    first_trade_date: str | None
    last_trade_date: str | None


class _Regime(NamedTuple):
    """A stored regime. version_given: whether it says that its version was asked for"""

    as_of_date: date
    region: str
    instrument_id: str
    model_version: int
    regime_label: str
    confidence: float
    probabilities: str
    runner_up_label: str | None
    expected_volatility: float | None
    regime_embedding: bytes
    metadata: str
    row_hash: str
    run_id: UUID
    version_given: bool
    trading_days_a_year: str | None

    def contents(self) -> Contents:
        """As store.regimes.contents has them."""
        volatility = self.expected_volatility
        return {
            **self._asdict(),
            "model_version": str(self.model_version),
            "confidence": repr(self.confidence),
            "expected_volatility": None if volatility is None else repr(volatility),
        }


class _Window(NamedTuple):
    """A window as the prices give it.

    position: of its last row among those of the instrument; is_of_day: whether that is of the date
    embedding: what is to be stored of it
    """

    position: int
    is_of_day: bool
    embedding: Contents
    days_a_year: int


class _Input(NamedTuple):
    """What a regime is classified from. days_a_year: None where its window is not known any more"""

    vector: bytes
    first_trade_date: str
    last_trade_date: str
    days_a_year: int | None


@contextlib.contextmanager
def snapshot(database: Database) -> Iterator[None]:
    """A transaction that sees one moment of the database and cannot write."""
    with database.transaction():
        database.execute("set transaction isolation level repeatable read, read only")
        yield


def replay(
    database: Database,
    request: Request,
    most_shown: int = 20,
    progress: Progress = no_progress,
) -> Comparison:
    """Compute and compare what is asked for.

    most_shown: how many differences of a verdict and table are kept
    progress: called with the rows done and the rows in all
    raises RegimeError for an unknown region
    """
    compared = Comparison(most_shown)
    _Replay(database, request, compared, progress).run()
    return compared


class _Replay:
    """corrected: series → date → what was computed for a regime that is stored otherwise"""

    def __init__(
        self, database: Database, request: Request, compared: Comparison, progress: Progress
    ):
        self.database, self.request, self.compared = database, request, compared
        self.progress, self.done, self.total = progress, 0, 0
        self.corrected: dict[Series, dict[date, Contents]] = defaultdict(dict)
        self.parameters = {
            "vote": GLOBAL,
            "regions": list(request.regions) or None,
            "instrument_ids": instruments(database, request.regions),
            "earliest": date.min,
            "first": request.since or date.min,
            "last": date.max,
        }
        self.runs = {run_id: _Run(*rest) for run_id, *rest in self._rows("replay_runs")}

    def run(self) -> None:
        units = [(_Unit(*unit), rows) for *unit, rows in self._rows("replay_units")]
        series = [(Series(*key), models) for *key, models in self._rows("replay_series")]
        fits = sum(models for _, models in series) if self.request.fits else 0
        self.total = sum(rows for _, rows in units) + len(series) + fits
        self._compare_strays()
        for unit, rows in units:
            self._of_windows(unit)
            self._advance(rows)
        for of_regimes, _ in series:
            self._of_series(of_regimes)
            self._advance(1)

    def _advance(self, rows: int) -> None:
        self.done += rows
        self.progress(self.done, self.total)

    def _of_windows(self, unit: _Unit) -> None:
        """The embeddings of a unit, and the regimes that were classified from its windows."""
        stored = [_Embedding(*row) for row in self._rows("replay_embeddings", unit._asdict())]
        of_unit = unit._asdict() | {"region": None}
        classified = [_Regime(*row) for row in self._rows("replay_regimes", of_unit)]
        days = {row.as_of_date for row in stored} | {row.as_of_date for row in classified}
        try:
            encoder = encoders.get(unit.model_id, unit.window_days)
        except RegimeError as error:
            for row in stored:
                self._cannot(EMBEDDINGS, _embedding_key(unit, row), "model_id", str(error))
            for regime in classified:
                key = _key(_series(unit, regime.region), regime.as_of_date)
                self._cannot(REGIMES, key, "model_id", str(error))
            return
        found = self._encode(unit, encoder, sorted(days))
        inputs = {day: _input(window) for day, window in found.items()}
        size = 4 * encoder.dimension(unit.window_days)
        for row in self._compare_embeddings(unit, stored, found):
            if len(row.vector) == size and np.isfinite(np.frombuffer(row.vector, "<f4")).all():
                dates = (str(row.first_trade_date), str(row.last_trade_date))
                inputs[row.as_of_date] = _Input(row.vector, *dates, days_a_year=None)
        for region, of_region in groupby(classified, key=lambda regime: regime.region):
            self._compare_regimes(_series(unit, region), list(of_region), inputs)

    def _of_series(self, series: Series) -> None:
        """The votes, the transitions and, if they are asked for, the models of a series."""
        if series.region == GLOBAL:
            self._compare_votes(series)
        self._compare_transitions(series)
        if self.request.fits:
            self._compare_models(series)

    def _compare_strays(self) -> None:
        for table, entity_type, name, day, model_id, window_days in self._rows("replay_strays"):
            key = {"region" if table == REGIMES else "entity_id": name, "as_of_date": day}
            key |= {"model_id": model_id, "window_days": window_days}
            column, value = "as_of_date", day
            if entity_type not in (None, "INSTRUMENT"):
                column, value = "entity_type", entity_type
            self._cannot(table, key, column, f"no window has the {column} {value}")

    def _encode(self, unit: _Unit, encoder: Encoder, days: list[date]) -> dict[date, _Window]:
        """The windows of those days that have enough prices up to them."""
        stretch = Stretch(unit.window_days, self.request.since)
        (rows,) = features.fetch(
            self.database, [unit.instrument_id], encoder.COLUMNS, stretch, features.EXPECTED
        )
        as_of_dates = np.array(days, "datetime64[D]")
        lasts = np.searchsorted(rows.dates, as_of_dates, side="right") - 1
        is_whole = lasts >= unit.window_days - 1
        if not is_whole.any():
            return {}
        found = windows.ending(rows, unit.window_days, as_of_dates[is_whole])
        vectors = encoder.encode(found.values)
        columns = embeddings.contents(unit.model_id, found, vectors)
        texts = {name: [row.tobytes() for row in column] for name, column in columns.items()}
        dimension = str(vectors.shape[1])
        of_day = found.as_of_dates == found.last_trade_dates
        days_a_year = trading_days_a_year(found.trade_dates).tolist()
        computed = {}
        for i, day in enumerate(found.as_of_dates.tolist()):
            embedding: Contents = {
                "window_spec": texts["window_spec"][i].decode(),
                "vector": texts["vector"][i],
                "dimension": dimension,
                "window_hash": texts["window_hash"][i].decode(),
                "row_hash": texts["row_hash"][i].decode(),
            }
            position = int(lasts[is_whole][i])
            computed[day] = _Window(position, bool(of_day[i]), embedding, days_a_year[i])
        return computed

    def _compare_embeddings(
        self, unit: _Unit, stored: list[_Embedding], found: Mapping[date, _Window]
    ) -> Iterator[_Embedding]:
        """Compare; gives the rows whose prices changed since they were written."""
        last_run = _last_run(self.runs, lambda run: run.embeds(unit))
        same = [
            (last_run(row), found[row.as_of_date].position)
            for row in stored
            if row.as_of_date in found
            and row.window_hash == found[row.as_of_date].embedding["window_hash"]
        ]
        was_so = _unchanged(same, unit.window_days)
        for row in stored:
            self.compared.rows[EMBEDDINGS] += 1
            key, window = _embedding_key(unit, row), found.get(row.as_of_date)
            if window is None:
                changes = comparison.other("window_hash", row.window_hash, "too few prices")
            else:
                changes = comparison.changes(row._asdict(), window.embedding)
                is_of_prices = row.window_hash == window.embedding["window_hash"]
                if is_of_prices or (window.is_of_day and was_so(last_run(row), window.position)):
                    self._differ(EMBEDDINGS, key, changes)
                    continue
                changes = comparison.changes(
                    {"window_hash": row.window_hash},
                    {"window_hash": window.embedding["window_hash"]},
                )
            note = "the prices of its window changed since it was written"
            self._add(EMBEDDINGS, key, Verdict.RESTATED, changes, note)
            yield row

    def _compare_regimes(
        self, series: Series, stored: list[_Regime], inputs: Mapping[date, _Input]
    ) -> None:
        versions = model_versions.load(self.database, series)
        place = {model.version: i for i, model in enumerate(versions)} | {0: -1}
        by = _ByVersion(self.runs, versions, self._writers(series))
        instrument_id = stored[0].instrument_id
        last_run = _last_run(self.runs, lambda run: run.classifies(series, instrument_id))
        groups: dict[tuple[int, bool], list[tuple[_Regime, _Input]]] = defaultdict(list)
        for row in stored:
            self.compared.rows[REGIMES] += 1
            key, given = _key(series, row.as_of_date), inputs.get(row.as_of_date)
            if row.model_version not in place:
                self._cannot(REGIMES, key, "model_version", "the version is not stored")
            elif given is None:
                self._cannot(REGIMES, key, "regime_embedding", "there is no such window")
            else:
                groups[row.model_version, row.version_given].append((row, given))
        for (version, version_given), rows in groups.items():
            marks = {"version_given": True} if version_given else {}
            for begin in range(0, len(rows), BATCH_WINDOWS):
                batch = rows[begin : begin + BATCH_WINDOWS]
                try:
                    computed = _classified(series, versions, place[version], batch, marks)
                except _UNREADABLE as error:
                    note = f"version {version} cannot classify it: {' '.join(str(error).split())}"
                    for row, _ in batch:
                        self._cannot(REGIMES, _key(series, row.as_of_date), "model_version", note)
                    continue
                for (row, _), contents in zip(batch, computed, strict=True):
                    wrong = None if version_given else by.fault(row, last_run(row), place[version])
                    self._compare_regime(series, row, contents, *(wrong or ()))

    def _compare_regime(
        self,
        series: Series,
        row: _Regime,
        computed: Contents,
        verdict: Verdict = Verdict.DIFFERS,
        more: Changes = (),
        note: str = "",
    ) -> None:
        """verdict, more, note: what is said of a row that has these changes besides"""
        changes = comparison.changes(row.contents(), computed)
        if changes:
            self.corrected[series][row.as_of_date] = computed
            verdict = Verdict.DIFFERS
        if changes or more:
            key = _key(series, row.as_of_date)
            self._add(REGIMES, key, verdict, more + changes, note)

    def _compare_votes(self, series: Series) -> None:
        of_series = vars(series) | {"instrument_id": None}
        rows = [_Regime(*row) for row in self._rows("replay_regimes", of_series)]
        counts: dict[str, dict[date, Contents]] = {}
        votes = [
            run
            for run in self.runs.values()
            if run.command == "global" and run.is_by(series.model_id, series.window_days)
        ]
        for row in rows:
            self.compared.rows[REGIMES] += 1
            key, run = _key(series, row.as_of_date), self.runs.get(row.run_id, _NO_RUN)
            # Each vote counts all days anew.
            run = max([run, *votes], key=lambda each: each.started)
            asked = {name: run.parameters.get(name) for name in ("weights", "instrument_id")}
            name = canonical.text(asked)
            if name not in counts:
                counts[name] = {}
                # Where the ledger or the regions' regimes are none, no vote can be counted.
                with contextlib.suppress(*_UNREADABLE), np.errstate(all="ignore"):
                    counts[name] = self._count(series, asked["weights"], asked["instrument_id"])
            computed = counts[name].get(row.as_of_date)
            if computed is None:
                self._cannot(REGIMES, key, "as_of_date", "there is no vote of this day to count")
            elif self._is_outdated(row, computed, run.started):
                changes = comparison.changes(row.contents(), computed)
                note = "regimes that were voted on changed since"
                self._add(REGIMES, key, Verdict.OUTDATED, changes, note)
            else:
                self._compare_regime(series, row, computed)

    def _count(
        self, series: Series, weights: dict[str, float] | None, instrument_id: str | None
    ) -> dict[date, Contents]:
        """The vote of each day. weights: None for those of today, after a `regime forget`"""
        if weights is None or instrument_id is None:
            today = vote.voting(self.database, series)
            if today is None:
                return {}
            weights, instrument_id = today.weights, today.instrument_id
        voters = [
            self._corrected(voter, series) for voter in vote.voters(self.database, series, weights)
        ]
        days, vectors, counted = vote.count(voters, seeds.labels(self.database))
        all_contents = regimes.contents(
            series, instrument_id, days, counted, [vector.tobytes() for vector in vectors]
        )
        return dict(zip(days, all_contents, strict=True))

    def _corrected(self, voter: vote.Voter, series: Series) -> vote.Voter:
        """The voter as it was computed."""
        of_region = self.corrected.get(replace(series, region=voter.region), {})
        computed = of_region.get(voter.as_of_date)
        if computed is None:
            return voter
        volatility = computed["expected_volatility"]
        return replace(
            voter,
            regime_label=computed["regime_label"],
            probabilities=json.loads(computed["probabilities"]),
            expected_volatility=None if volatility is None else float(volatility),
        )

    def _is_outdated(self, row: _Regime, computed: Contents, began: float) -> bool:
        """Whether a region's regime that counts today was written after the vote began, or one
        that counted then may have been removed since."""
        counted, today = _constituents(row.metadata), _constituents(computed["metadata"])
        for region in counted.keys() | today.keys():
            if counted.get(region) == today.get(region):
                continue
            if region in today:
                writers = [self.runs.get(UUID(today[region][1]), _NO_RUN)]
            else:
                writers = [run for run in self.runs.values() if run.may_remove(region)]
            if any(run.finished > began for run in writers):
                return True
        return False

    def _compare_transitions(self, series: Series) -> None:
        rows = self._rows("replay_transitions", vars(series))
        computed_of = self.corrected.get(series, {})
        previous: tuple[date, str, str] | None = None
        for day, label, confidence, *stored in rows:
            expected = None
            if label is not None:
                computed = computed_of.get(day, {})
                now = (
                    day,
                    str(computed.get("regime_label", label)),
                    str(computed.get("confidence", repr(confidence))),
                )
                if previous and previous[1] != now[1]:
                    expected = (str(previous[0]), previous[1], now[1], previous[2], now[2])
                previous = now
            if self.request.since and day < self.request.since:
                continue
            is_stored = stored[0] is not None
            if not is_stored and expected is None:
                continue
            self.compared.rows[TRANSITIONS] += 1
            texts = [repr(each) if isinstance(each, float) else each for each in stored]
            names = regimes.TRANSITION
            if is_stored and expected:
                changes = comparison.changes(
                    dict(zip(names, map(str, texts), strict=True)),
                    dict(zip(names, expected, strict=True)),
                )
            else:
                what = ("a transition", "none") if is_stored else ("none", "a transition")
                changes = comparison.other("to_regime_label", *what)
            self._differ(TRANSITIONS, _key(series, day), changes)

    def _compare_models(self, series: Series) -> None:
        versions = {each.version: each for each in model_versions.load(self.database, series)}
        stored = {
            version: (run_id, parameters_hash)
            for version, run_id, parameters_hash in self._rows("replay_models", vars(series))
        }
        asked = [
            each
            for _, each in sorted(versions.items())
            if not self.request.since or each.valid_from >= self.request.since
        ]
        same: dict[UUID, list[FittedModel]] = defaultdict(list)
        restated = []
        for model in asked:
            self.compared.rows[MODELS] += 1
            self._advance(1)
            run_id, _ = stored[model.version]
            repetition = self._repetition(model, run_id)
            if repetition and repetition.training.hash() == model.training_hash:
                same[self._last_fit(model, run_id, versions.values())].append(model)
                again = self._compare_fit(repetition, list(versions.values()), stored)
                # A forged version is not what the next one was compared with.
                versions[model.version] = again or model
            elif repetition and repetition.valid_from == model.valid_from:
                restated.append(model)
            elif repetition:
                self._compare_fit(repetition, list(versions.values()), stored)
        for model in restated:
            run_id, _ = stored[model.version]
            repetition = self._repetition(model, run_id)
            if repetition and _covers(
                same[self._last_fit(model, run_id, versions.values())], model
            ):
                self._compare_fit(repetition, list(versions.values()), stored)
            elif repetition:
                self._training_changed(model, repetition.training.hash())

    def _last_fit(self, model: FittedModel, run_id: UUID, versions: Iterable[FittedModel]) -> UUID:
        """The run that fitted a version, or the last one of the same walk-forward fit: it would
        have fitted another one in its place if the training was another then."""
        fitted = self.runs.get(run_id, _NO_RUN)
        in_force = model_versions.in_force(list(versions), model.valid_from)
        if "every_months" not in fitted.parameters or in_force is None:
            return run_id
        if in_force.version != model.version:
            return run_id
        repeated = [
            (run.started, each)
            for each, run in self.runs.items()
            if (run.command, run.status) == ("fit", "SUCCEEDED")
            and run.started > fitted.finished
            and run.parameters | {"end": None} == fitted.parameters | {"end": None}
            and str(run.parameters["end"] or date.max) >= str(model.valid_from)
        ]
        return max(repeated, default=(0.0, run_id))[1]

    def _repetition(self, model: FittedModel, run_id: UUID) -> fit.Repetition | None:
        """None, and what is found, where it cannot be fitted anew."""
        asked = self.runs.get(run_id, _NO_RUN).parameters
        try:
            encoders.get(model.series.model_id, model.series.window_days)
            return fit.repeat(self.database, model, asked)
        except RegimeError:
            self._training_changed(model, "too few prices")
        except _UNREADABLE as error:
            note = f"its run does not say how it was fitted: {type(error).__name__} {error}"
            self._cannot(MODELS, _model_key(model), "run_id", note)
        return None

    def _training_changed(self, model: FittedModel, training_hash: str) -> None:
        changes = comparison.other("training_hash", model.training_hash, training_hash)
        note = "the prices that it was trained on changed since"
        self._add(MODELS, _model_key(model), Verdict.RESTATED, changes, note)

    def _compare_fit(
        self,
        repetition: fit.Repetition,
        versions: list[FittedModel],
        stored: Mapping[int, tuple[UUID, str]],
    ) -> FittedModel | None:
        """Fit anew and compare; returns the fit, None where it could not be made."""
        model = repetition.model
        run_id, parameters_hash = stored[model.version]
        key, run = _model_key(model), self.runs.get(run_id, _NO_RUN)
        try:
            again = repetition.fit(versions)
        except _UNREADABLE as error:
            note = f"it cannot be fitted anew: {' '.join(str(error).split())}"
            self._cannot(MODELS, key, "parameters", note)
            return None
        before = _model_contents(model, parameters_hash)
        changes = comparison.changes(before, _model_contents(again))
        same_doubts = replace(again, metrics=_with_suspicions_of(model, again))
        if changes and not comparison.changes(before, _model_contents(same_doubts)):
            note = "audit.price_suspicions says something else of its training since"
            self._add(MODELS, key, Verdict.OUTDATED, changes, note)
        else:
            note = (
                f"it was fitted by regime-engine {run.package_version}, and anew by {__version__}; "
                "by another release or on another machine the last digits of a fit can differ"
            )
            self._differ(MODELS, key, changes, note)
        return again

    def _writers(self, series: Series) -> dict[int, UUID]:
        """Version → the run that wrote it."""
        rows = self._rows("replay_models", vars(series))
        return {version: run_id for version, run_id, _ in rows}

    def _rows(self, name: str, more: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        query = self.database.compose(statement(__package__, name))
        with self.database.connection.cursor(binary=True) as cursor:
            return cursor.execute(query, {**self.parameters, **(more or {})}).fetchall()

    def _add(
        self, table: str, key: dict[str, object], verdict: Verdict, changes: Changes, note: str
    ) -> None:
        self.compared.add(Difference(table, key, verdict, changes, note))

    def _differ(self, table: str, key: dict[str, object], changes: Changes, note: str = "") -> None:
        """Keep what differs, if anything does."""
        if changes:
            self._add(table, key, Verdict.DIFFERS, changes, note)

    def _cannot(self, table: str, key: dict[str, object], column: str, note: str) -> None:
        """Keep a row that does not follow from any prices."""
        self._differ(table, key, comparison.other(column, "stored", "nothing"), note)


class _ByVersion:
    """Which version classifies a day, by its position in `versions`; -1 for the seed rule."""

    def __init__(
        self, runs: Mapping[UUID, _Run], versions: list[FittedModel], writers: Mapping[int, UUID]
    ):
        self.runs, self.versions = runs, versions
        self._finished = [runs.get(writers[each.version], _NO_RUN).finished for each in versions]
        self._known: dict[UUID, list[int]] = {}

    def fault(
        self, row: _Regime, run_id: UUID, position: int
    ) -> tuple[Verdict, Changes, str] | None:
        """What is wrong with the version that a regime names; None if it is the one in force.

        run_id: the last run that classified its day
        """
        today = self._in_force(row.as_of_date)
        if position == today:
            return None
        known = self._known_to(run_id, row.as_of_date)
        is_valid = position < 0 or self.versions[position].valid_from <= row.as_of_date
        is_outdated = is_valid and position >= known
        wanted = today if is_outdated else known
        number = self.versions[wanted].version if wanted >= 0 else 0
        changes = comparison.other("model_version", row.model_version, number)
        if is_outdated:
            return Verdict.OUTDATED, changes, "a version that was fitted since is valid on this day"
        return Verdict.DIFFERS, changes, "another version was in force when it was written"

    def _in_force(self, day: date) -> int:
        return bisect(self.versions, day, key=lambda model: model.valid_from) - 1

    def _known_to(self, run_id: UUID, day: date) -> int:
        """Of the versions whose fit had ended when a run began."""
        if run_id not in self._known:
            began = self.runs.get(run_id, _NO_RUN).started
            self._known[run_id] = [i for i, end in enumerate(self._finished) if end < began]
        known = self._known[run_id]
        last = bisect(known, day, key=lambda i: self.versions[i].valid_from) - 1
        return known[last] if last >= 0 else -1


def _last_run(
    runs: Mapping[UUID, _Run], writes: Callable[[_Run], bool]
) -> Callable[[_Embedding | _Regime], UUID]:
    """The run that wrote a row, or a later one that left the row alone since it was right then."""
    later = sorted(((run.started, run_id) for run_id, run in runs.items() if writes(run)))[::-1]

    def last_run(row: _Embedding | _Regime) -> UUID:
        ended, day = runs.get(row.run_id, _NO_RUN).finished, str(row.as_of_date)
        for started, run_id in later:
            if started <= ended:
                break
            asked = runs[run_id].parameters
            if str(asked.get("start") or day) <= day <= str(asked.get("end") or day):
                return run_id
        return row.run_id

    return last_run


def _unchanged(same: list[tuple[UUID, int]], window_days: int) -> Callable[[UUID, int], bool]:
    """Whether the window that ends at a position was, when a run read it, what it is today.

    same: run and last position of each window that is stored as the prices give it today. If two
    of one run have each day of the window together with its next one, none of them changed since.
    """
    positions: dict[UUID, list[int]] = defaultdict(list)
    for run_id, position in sorted(same, key=lambda each: each[1]):
        positions[run_id].append(position)

    def was_so(run_id: UUID, position: int) -> bool:
        of_run = positions[run_id]
        after = bisect(of_run, position)
        return 0 < after < len(of_run) and of_run[after] - of_run[after - 1] < window_days

    return was_so


def _covers(others: list[FittedModel], model: FittedModel) -> bool:
    """Whether other versions were together trained on each day of a version's training."""
    reach = model.trained_from
    for other in sorted(others, key=lambda each: each.trained_from):
        if other.trained_from <= reach:
            reach = max(reach, other.trained_to)
    return bool(others) and reach >= model.trained_to


def _classified(
    series: Series,
    versions: list[FittedModel],
    position: int,
    batch: list[tuple[_Regime, _Input]],
    marks: dict[str, bool],
) -> list[Contents]:
    """What is to be stored of the regimes, by the version at the position."""
    rows, inputs = zip(*batch, strict=True)
    vectors = np.frombuffer(b"".join(each.vector for each in inputs), "<f4")
    # The year of a window that is not known any more is the one that the regime states.
    days_a_year = [each.days_a_year or int(row.trading_days_a_year or 0) for row, each in batch]
    with np.errstate(all="ignore"):
        found = classify.regimes_of(
            versions,
            np.full(len(batch), position),
            np.array([row.as_of_date for row in rows], "datetime64[D]"),
            vectors.reshape(len(batch), -1),
            np.array(days_a_year),
            marks,
        )
    found = regimes.with_dates(
        found,
        [each.first_trade_date for each in inputs],
        [each.last_trade_date for each in inputs],
    )
    days, bytes_of_vectors = [row.as_of_date for row in rows], [each.vector for each in inputs]
    return list(regimes.contents(series, rows[0].instrument_id, days, found, bytes_of_vectors))


def _input(window: _Window) -> _Input:
    spec = json.loads(str(window.embedding["window_spec"]))
    return _Input(
        bytes(window.embedding["vector"] or b""),
        spec["first_trade_date"],
        spec["last_trade_date"],
        window.days_a_year,
    )


def _constituents(metadata: str | bytes | None) -> dict[str, tuple[str, str]]:
    """Region → date and run of its regime that counted; nothing where the metadata is no vote's."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        voters = json.loads(metadata or "{}")["constituents"]
        return {str(each["region"]): (each["as_of_date"], each["run_id"]) for each in voters}
    return {}


def _model_contents(model: FittedModel, parameters_hash: str | None = None) -> Contents:
    """parameters_hash: None for that of the model"""
    values = vars(model.series) | vars(model)
    in_order = [
        str(values[name]) if isinstance(values[name], date) else values[name]
        for name in model_versions.COLUMNS
    ]
    texts = {
        name: value if isinstance(value, str) else canonical.text(value)
        for name, value in zip(model_versions.COLUMNS, in_order, strict=True)
        if name not in ("version", *vars(model.series))
    }
    return texts | {"parameters_hash": parameters_hash or canonical.row_hash(in_order)}


def _with_suspicions_of(model: FittedModel, again: FittedModel) -> dict[str, Any]:
    """The metrics of a fit, with the doubt about suspicious prices of another one."""
    doubts = {k: v for k, v in again.metrics.get("doubts", {}).items() if k != SUSPICIOUS}
    if doubt := model.metrics.get("doubts", {}).get(SUSPICIOUS):
        doubts[SUSPICIOUS] = doubt
    metrics = {name: value for name, value in again.metrics.items() if name != "doubts"}
    return metrics | ({"doubts": doubts} if doubts or "doubts" in model.metrics else {})


def instruments(database: Database, regions: tuple[str, ...]) -> list[str] | None:
    """The instruments of regions, today and of their stored regimes; None for all.

    raises RegimeError for an unknown region
    """
    if not regions:
        return None
    known = seeds.regions(database)
    found = set()
    for region in regions:
        rows = database.execute(
            "select distinct instrument_id from {regimes} where region = %s", [region]
        ).fetchall()
        if region in known:
            found.add(known[region].instrument_id)
        elif seeds.has_prices(database, region):
            found.add(region)
        elif not rows and region != GLOBAL:
            raise seeds.unknown_region(region, list(known))
        if region != GLOBAL:
            found |= {instrument_id for (instrument_id,) in rows}
    return sorted(found)


def _series(unit: _Unit, region: str) -> Series:
    return Series(region, unit.model_id, unit.window_days)


def _key(series: Series, day: date) -> dict[str, object]:
    return {"region": series.region, "as_of_date": day} | _encoding(series)


def _embedding_key(unit: _Unit, row: _Embedding) -> dict[str, object]:
    return {"entity_id": unit.instrument_id, "as_of_date": row.as_of_date} | _encoding(unit)


def _model_key(model: FittedModel) -> dict[str, object]:
    return {"region": model.series.region, "version": model.version} | _encoding(model.series)


def _encoding(of: Series | _Unit) -> dict[str, object]:
    return {"model_id": of.model_id, "window_days": of.window_days}
