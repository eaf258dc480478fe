"""Windows → encoder → fit → model versions: one version, or one every so many months."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from regime_engine import classifiers, encoders, features, model_versions, runs, seeds, windows
from regime_engine.classifiers import Learned, markov
from regime_engine.classifiers.grounds import grounds
from regime_engine.database import Database
from regime_engine.engine.classify import Progress, no_progress
from regime_engine.errors import RegimeError
from regime_engine.model_versions import FittedModel
from regime_engine.seeds import instrument_of
from regime_engine.series import Series
from regime_engine.store.regimes import lock_series
from regime_engine.windows import Stretch, Windows, embed

# Called with a line that the user should read.
Warn: TypeAlias = Callable[[str], None]

# Three years of days: what a version of a walk-forward history is trained on at the least.
FEWEST_WALK_FORWARD_WINDOWS = 756
# The share of the training days that the number of states is chosen without.
HELD_OUT = 0.3
_SCORED_WINDOWS = 400  # about as many of the training windows give the score in sample
DAYS_OF_A_YEAR = 365.25


def no_warning(line: str) -> None:
    pass


@dataclass(frozen=True)
class LabelledStretch:
    """As-of dates from start to end, both included, that a person gives a label."""

    label: str
    start: date
    end: date


@dataclass(frozen=True)
class Recipe:
    """What to fit. n_states: None chooses by out-of-sample score; labelled: for prototypes only,
    which are found by a jump-penalised k-means where there is none"""

    classifier: str = "markov"
    n_states: int | None = 4
    labelled: tuple[LabelledStretch, ...] = ()


@dataclass(frozen=True)
class WalkForward:
    """A version every so many months of the calendar.

    train_years: how many years before a version it is trained on; None: on all the past
    """

    every_months: int = 6
    train_years: int | None = None

    def to_json(self) -> dict[str, object]:
        return {"every_months": self.every_months, "train_years": self.train_years or "all"}

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> "WalkForward":
        years = asked["train_years"]
        return cls(int(asked["every_months"]), None if years == "all" else int(years))

    def on_or_before(self, day: date) -> date:
        """The last of the dates up to a day; the day itself where it depends on the first year."""
        if 12 % self.every_months:
            return day
        return date(day.year, day.month - (day.month - 1) % self.every_months, 1)

    def dates(self, first: date, last: date, is_begin: bool) -> list[date]:
        """The dates from first to last. is_begin: whether first is one, whatever its day"""
        due, month = ([first] if is_begin and first <= last else []), 12 * first.year
        while (day := date(month // 12, month % 12 + 1, 1)) <= last:
            if day > first or (day == first and not is_begin):
                due.append(day)
            month += self.every_months
        return due


@dataclass(frozen=True)
class Training:
    """Windows of one instrument with their embeddings, and their labels if a person gave any."""

    windows: Windows
    embeddings: np.ndarray
    labels: list[str] | None

    def __getitem__(self, rows: slice) -> "Training":
        labels = None if self.labels is None else self.labels[rows]
        return Training(self.windows[rows], self.embeddings[rows], labels)

    def days(self) -> np.ndarray:
        """(n + window_days - 1,) the days of consecutive windows."""
        first = self.windows.first_trade_dates[: self.windows.window_days - 1]
        return np.concatenate([first, self.windows.last_trade_dates])

    def hash(self) -> str:
        """sha-256 (hex) over label, date and window hash of each window, in order."""
        labels = self.labels or [""] * len(self.windows)
        text = "".join(
            f"{label} {day} {window_hash:016x}\n"
            for label, day, window_hash in zip(
                labels, self.windows.as_of_dates, self.windows.hashes, strict=True
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()


class _Suspicious(NamedTuple):
    day: date
    kind: str


def fit(
    database: Database,
    series: Series,
    recipe: Recipe,
    start: date | None = None,
    end: date | None = None,
    valid_from: date | None = None,
    instrument_id: str | None = None,
) -> FittedModel:
    """Fit a model to the as-of dates from start to end, or to the labelled ones, and store it.

    valid_from: default the day after the last day trained on, so that no date is classified by
        a model of its own future
    raises RegimeError for unknown labels, overlapping stretches or too few windows
    """
    instrument_id = instrument_of(database, series.region, instrument_id)
    _require_usable(recipe, seeds.labels(database))
    parameters = _parameters(series, instrument_id, recipe) | {"valid_from": valid_from}
    with runs.ledger(database, "fit", parameters | {"start": start, "end": end}) as run:
        training = _read_training(
            database, series, instrument_id, recipe=recipe, start=start, end=end
        )
        if valid_from is None:
            valid_from = training.windows.as_of_dates[-1].item() + timedelta(days=1)
        stored = model_versions.load(database, series)
        suspicious = _suspicious_prices(database, instrument_id)
        model = _fit_version(
            training, recipe, valid_from, series=series, stored=stored, suspicious=suspicious
        )
        with database.transaction():
            lock_series(database, instrument_id, series)
            return model_versions.save(database, run, [model])[0]


def walk_forward(
    database: Database,
    series: Series,
    recipe: Recipe,
    schedule: WalkForward,
    start: date | None = None,
    end: date | None = None,
    instrument_id: str | None = None,
    progress: Progress = no_progress,
    warn: Warn = no_warning,
) -> list[FittedModel]:
    """Store a version for each date of the schedule, trained on the days before that date.

    start: the first `valid_from`, default the first of the schedule with three years before it
    end: the last possible one, default the last priced day
    warn: called with a line for the user
    A version that is stored already is not fitted again, so that this can run every night.
    """
    if recipe.labelled:
        raise RegimeError("a walk-forward fit finds its states itself: leave --window out")
    instrument_id = instrument_of(database, series.region, instrument_id)
    _require_usable(recipe, seeds.labels(database))
    parameters = _parameters(series, instrument_id, recipe) | schedule.to_json()
    with runs.ledger(database, "fit", parameters | {"start": start, "end": end}) as run:
        training = _read_training(database, series, instrument_id, recipe=recipe, end=end)
        days = training.windows.as_of_dates
        stored = model_versions.load(database, series)
        due = _due_dates(days, schedule, start)
        suspicious = _suspicious_prices(database, instrument_id)
        fitted: list[FittedModel] = []
        for done, valid_from in enumerate(due, 1):
            first = _first_trained(days, valid_from, schedule)
            rows = slice(*np.searchsorted(days, [first, np.datetime64(valid_from, "D")]).tolist())
            version = _fit_version(
                training[rows],
                recipe,
                valid_from,
                series=series,
                stored=stored,
                suspicious=suspicious,
                before=fitted[-1] if fitted else None,
            )
            fitted.append(version)
            progress(done, len(due))
        if replaced := _trained_otherwise(stored, fitted):
            warn(_in_words(series, schedule, replaced))
        with database.transaction():
            lock_series(database, instrument_id, series)
            return model_versions.save(database, run, fitted)


@dataclass(frozen=True)
class Repetition:
    """A fit as its run was asked for it, on the prices of this moment.

    model: as it is stored; training, valid_from: what it would be trained on and valid from
    due_before: the date of the version before it in the same call, if there was one
    """

    model: FittedModel
    recipe: Recipe
    training: Training
    valid_from: date
    due_before: date | None
    suspicious: list[_Suspicious]

    def fit(self, versions: list[FittedModel]) -> FittedModel:
        """The version fitted anew; nothing is stored. versions: of the series"""
        # One call numbers its versions in the order of their dates.
        older = [each for each in versions if each.version < self.model.version]
        before = self.due_before and model_versions.in_force(older, self.due_before)
        fitted = _fit_version(
            self.training,
            self.recipe,
            self.valid_from,
            series=self.model.series,
            stored=[],
            suspicious=self.suspicious,
            before=before or None,
        )
        return replace(fitted, version=self.model.version)


def repeat(database: Database, model: FittedModel, asked: Mapping[str, Any]) -> Repetition:
    """The fit of a stored version. asked: the parameters of its run, as the ledger has them

    raises RegimeError where the prices have no such training any more, and KeyError, TypeError or
        ValueError where the ledger does not say how the version was fitted
    """
    recipe, start, end = _recipe(asked), _day(asked["start"]), _day(asked["end"])
    schedule = WalkForward.from_json(asked) if "every_months" in asked else None
    valid_from, due_before = model.valid_from, None
    training = _read_training(
        database,
        model.series,
        asked["instrument_id"],
        recipe=recipe,
        start=None if schedule else start,
        # Prices came after the fit; a run that was given no end took those there were.
        end=valid_from - timedelta(days=1) if schedule else end or model.trained_to,
        source=features.EXPECTED,
    )
    days = training.windows.as_of_dates
    if schedule:
        due_before = _due_before(valid_from, schedule, start, days)
        training = training[np.searchsorted(days, _first_trained(days, valid_from, schedule)) :]
        valid_from = valid_from if valid_from == start else schedule.on_or_before(valid_from)
    else:
        valid_from = _day(asked["valid_from"]) or days[-1].item() + timedelta(days=1)
    suspicious = _suspicious_prices(database, asked["instrument_id"])
    return Repetition(model, recipe, training, valid_from, due_before, suspicious)


def _due_before(
    valid_from: date, schedule: WalkForward, start: date | None, days: np.ndarray
) -> date | None:
    """The date of the schedule before a version. days: (n,) those before the version"""
    if start is None and len(days) <= FEWEST_WALK_FORWARD_WINDOWS:
        return None
    first = start or days[FEWEST_WALK_FORWARD_WINDOWS].item()
    due = schedule.dates(first, valid_from - timedelta(days=1), is_begin=start is not None)
    return due[-1] if due else None


def score_states(embeddings: np.ndarray, model_id: str) -> list[tuple[int, float]]:
    """(states, mean log score in nats a day) of Markov models of 2, 3 and 4 states: fitted to the
    first 70 % of the days, they tell each return of the rest from the days before it.

    embeddings: (n, 384) of n consecutive trading days by the encoder of this id
    """
    training, held_out = _split(embeddings)
    return [
        (k, markov.scores(markov.fit(training, k, model_id), held_out)["log_score"])
        for k in classifiers.STATE_LABELS
    ]


def _split(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cut = int(len(embeddings) * (1 - HELD_OUT))
    return embeddings[:cut], embeddings[cut:]


def _fit_version(
    training: Training,
    recipe: Recipe,
    valid_from: date,
    *,
    series: Series,
    stored: list[FittedModel],
    suspicious: list[_Suspicious],
    before: FittedModel | None = None,
) -> FittedModel:
    """A version of the training, or the one that is stored for it.

    before: the version before it of a walk-forward history, whose later days are held out of it
    """
    training_hash = training.hash()
    known = model_versions.in_force(stored, valid_from)
    if known and known.training_hash == training_hash and _is_by(recipe, known):
        return known
    metrics: dict[str, Any] = {}
    n_states = recipe.n_states
    if n_states is None:
        tried = score_states(training.embeddings, series.model_id)
        n_states, _ = max(tried, key=lambda k_and_score: k_and_score[1])
        metrics["states_tried"] = {str(k): score for k, score in tried}
    classifier = classifiers.get(recipe.classifier)
    train = partial(classifier.train, encoder=encoders.get(series.model_id), n_states=n_states)
    parameters = train(training.embeddings, labels=training.labels)
    some = training[:: -max(1, len(training.windows) // _SCORED_WINDOWS)]
    in_sample = classifier.scores(parameters, some.embeddings, some.labels)
    metrics |= {f"in_sample_{name}": score for name, score in in_sample.items()}
    if training.labels is None:
        novelty = None
        # A history that is just long enough for the fit has no days to spare.
        with contextlib.suppress(RegimeError):
            earlier, held_out = _held_out(training, train, before)
            out_of_sample = classifier.scores(earlier, held_out)
            metrics |= {f"held_out_{name}": score for name, score in out_of_sample.items()}
            novelty = classifier.classify(earlier, held_out).novelty
        metrics |= grounds(
            training.embeddings, series.model_id, parameters, training.days(), novelty
        ).to_json()
    first_day, last_day = (
        training.windows.first_trade_dates.min().item(),
        training.windows.last_trade_dates.max().item(),
    )
    kinds = Counter(each.kind for each in suspicious if first_day <= each.day <= last_day)
    if kinds:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        metrics.setdefault("doubts", {})["suspicious prices"] = (
            f"its training has suspicious prices ({found}): see them in audit.price_suspicions, "
            "correct them, and fit again"
        )
    return FittedModel(
        series=series,
        version=0,
        classifier=recipe.classifier,
        labels=parameters.labels,
        parameters=parameters.to_json(),
        trained_from=training.windows.as_of_dates[0].item(),
        trained_to=training.windows.as_of_dates[-1].item(),
        n_windows=len(training.windows),
        training_hash=training_hash,
        metrics=metrics,
        valid_from=valid_from,
    )


def _held_out(
    training: Training, train: Callable[[np.ndarray], Learned], before: FittedModel | None
) -> tuple[Learned, np.ndarray]:
    """A model that does not know the last days of the training, and their embeddings: the version
    before, or a fit to the first 70 % of the days."""
    if before is not None:
        is_later = training.windows.as_of_dates > np.datetime64(before.trained_to, "D")
        if is_later.any():
            learned = classifiers.read(before.classifier, before.labels, before.parameters)
            return learned, training.embeddings[is_later]
    first, held_out = _split(training.embeddings)
    return train(first), held_out


def _suspicious_prices(database: Database, instrument_id: str) -> list[_Suspicious]:
    """What price_suspicions has of an instrument; nothing where dbt has not built the view yet.

    Without calendar gaps, for which the view reads the prices of all instruments.
    """
    if not seeds.is_built(database, "price_suspicions"):
        return []
    rows = database.execute(
        "select trade_date, kind from {price_suspicions}"
        " where instrument_id = %s and kind <> 'calendar gap'",
        [instrument_id],
    )
    return [_Suspicious(*row) for row in rows]


def doubts(models: list[FittedModel]) -> list[str]:
    """A line for each doubt about the fits of a series; of several versions, that of the newest."""
    doubted: dict[str, list[FittedModel]] = {}
    for model in models:
        for kind in model.metrics.get("doubts", {}):
            doubted.setdefault(kind, []).append(model)
    lines = []
    for kind, versions in doubted.items():
        newest, others = versions[-1], len(versions) - 1
        also = f" and {others} more" if others else ""
        named = f"{newest.series.region} version {newest.version}{also}"
        lines.append(f"{named}: {newest.metrics['doubts'][kind]}")
    return lines


def _is_by(recipe: Recipe, model: FittedModel) -> bool:
    """Whether the recipe, on the model's training, is what the model was fitted by, to parameters
    that this release can read."""
    if model.classifier != recipe.classifier:
        return False
    try:
        classifiers.read(model.classifier, model.labels, model.parameters)
    except RegimeError:
        return False
    if recipe.labelled:
        return True
    if recipe.n_states is None:
        return "states_tried" in model.metrics
    return recipe.n_states == len(model.labels)


def _read_training(
    database: Database,
    series: Series,
    instrument_id: str,
    *,
    recipe: Recipe,
    start: date | None = None,
    end: date | None = None,
    source: str = features.STORED,
) -> Training:
    encoder = encoders.get(series.model_id, series.window_days)
    labelled = sorted(recipe.labelled, key=lambda stretch: stretch.start)
    stretches = [Stretch(series.window_days, each.start, each.end) for each in labelled]
    parts = [
        features.read(database, instrument_id, encoder.COLUMNS, stretch, source)
        for stretch in stretches or [Stretch(series.window_days, start, end)]
    ]
    labels = None
    if labelled:
        labels = [s.label for s, part in zip(labelled, parts, strict=True) for _ in part.hashes]
    embeddings = np.concatenate([embed(encoder, part) for part in parts])
    return Training(windows.concatenate(parts), embeddings, labels)


def _due_dates(days: np.ndarray, schedule: WalkForward, start: date | None) -> list[date]:
    """The schedule's dates that have enough days before them and at least one from them on."""
    if len(days) <= FEWEST_WALK_FORWARD_WINDOWS and start is None:
        raise RegimeError(
            f"a walk-forward fit needs {FEWEST_WALK_FORWARD_WINDOWS} training windows before its "
            f"first version, and there are {len(days)}: load more prices, or give --start"
        )
    first, last = start or days[FEWEST_WALK_FORWARD_WINDOWS].item(), days[-1].item()
    due = schedule.dates(first, last, is_begin=start is not None)
    if not due:
        raise RegimeError(
            f"no date of the schedule lies from {first} to {last}: load more prices, or choose "
            "another --start, --end or --every"
        )
    return due


def _first_trained(days: np.ndarray, valid_from: date, schedule: WalkForward) -> np.datetime64:
    if schedule.train_years is None:
        return days[0]
    return np.datetime64(_years_before(valid_from, schedule.train_years), "D")


def _trained_otherwise(stored: list[FittedModel], fitted: list[FittedModel]) -> list[FittedModel]:
    """The stored versions that new ones replace since their training begins on another day."""
    replaced = []
    for new in fitted:
        known = model_versions.in_force(stored, new.valid_from)
        if known and not new.version and known.trained_from != new.trained_from:
            replaced.append(known)
    return replaced


def _in_words(series: Series, schedule: WalkForward, replaced: list[FittedModel]) -> str:
    days = max((each.valid_from - each.trained_from).days for each in replaced)
    years = max(round(days / DAYS_OF_A_YEAR), 1)
    now = f"{schedule.train_years} years" if schedule.train_years else "all the past"
    versions = sorted(each.version for each in replaced)
    which = (
        f"version {versions[0]} was"
        if len(versions) == 1
        else (f"{len(versions)} versions from {versions[0]} to {versions[-1]} were")
    )
    return (
        f"{series.region}: {which} trained on at most {years} years, and this fit trains on {now}: "
        "new versions take their place, and labels will change. To go back, fit with "
        f"--train {years}y"
    )


def _years_before(day: date, years: int) -> date:
    if (day.month, day.day) == (2, 29):
        day -= timedelta(days=1)
    return day.replace(year=max(day.year - years, date.min.year))


def _parameters(series: Series, instrument_id: str, recipe: Recipe) -> dict[str, object]:
    return vars(series) | {
        "instrument_id": instrument_id,
        "classifier": recipe.classifier,
        "states": recipe.n_states,
        "windows": [f"{s.label}={s.start}:{s.end}" for s in recipe.labelled],
    }


def _recipe(asked: Mapping[str, Any]) -> Recipe:
    """What `_parameters` wrote."""
    labelled = []
    for each in asked["windows"]:
        label, _, span = each.rpartition("=")
        start, _, end = span.partition(":")
        labelled.append(LabelledStretch(label, date.fromisoformat(start), date.fromisoformat(end)))
    return Recipe(asked["classifier"], asked["states"], tuple(labelled))


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _require_usable(recipe: Recipe, known: list[str]) -> None:
    if not recipe.labelled:
        for label in classifiers.STATE_LABELS[recipe.n_states or max(classifiers.STATE_LABELS)]:
            if label not in known:
                raise RegimeError(
                    f"the fit would give the label {label}, which seeds/regime_labels.csv does not "
                    "have: add it and run `regime init`, or ask for fewer --states"
                )
    ordered = sorted(recipe.labelled, key=lambda stretch: stretch.start)
    for stretch in ordered:
        if stretch.label not in known:
            raise RegimeError(f"unknown label {stretch.label!r}: choose of {', '.join(known)}")
        if stretch.start > stretch.end:
            raise RegimeError(f"{stretch.label}: {stretch.start} is after {stretch.end}")
    for earlier, later in pairwise(ordered):
        if later.start <= earlier.end:
            raise RegimeError(
                f"{earlier.label} to {earlier.end} overlaps {later.label} from {later.start}: a "
                "day can have one label"
            )
