"""The state of the database as metrics, in the text format of Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from regime_engine import __version__, seeds
from regime_engine.database import Database, Rows
from regime_engine.reading import tables
from regime_engine.reading.suspicions import Suspicions
from regime_engine.reading.verdicts import VerdictHistory

VERDICTS = ("PASS", "WARN", "FAIL")


@dataclass(frozen=True)
class Metric:
    """A gauge. name: with its unit; samples: labels and value of each, in the order of the text"""

    name: str
    help: str
    samples: list[tuple[dict[str, object], float]] = field(default_factory=list)

    def add(self, value: float | None, **labels: object) -> None:
        """A sample, unless the value is not known."""
        if value is not None:
            self.samples.append((labels, value))

    def lines(self) -> Iterator[str]:
        if self.samples:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} gauge"
        for labels, value in self.samples:
            pairs = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
            yield f"{self.name}{{{pairs}}} {value!r}" if pairs else f"{self.name} {value!r}"


def text(metrics: Iterable[Metric]) -> str:
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def metrics(
    database: Database,
    *,
    regions: Rows,
    series: Rows,
    waiting: Rows,
    suspicious: list[Suspicions] | None,
    audited: Rows[VerdictHistory] | None,
) -> list[Metric]:
    """regions, series: the overviews of tables; waiting: what the outbox says of notifications

    suspicious, audited: None if not known
    """
    info = Metric("regime_engine_info", "Which regime-engine asked which database; always 1.")
    connection = database.connection.info
    info.add(
        1,
        version=__version__,
        database=connection.dbname,
        postgres_major=connection.server_version // 10000,
    )
    return [
        info,
        *_of_regions(regions),
        *_of_series(series, seeds.labels(database)),
        *_of_suspicions(series, suspicious),
        *_of_runs(tables.runs_by_status(database)),
        *_of_audit(audited),
        *_of_notifications(waiting),
    ]


def _of_regions(regions: Rows) -> list[Metric]:
    day = Metric(
        "regime_region_price_timestamp_seconds",
        "Day of the newest price of the region's instrument, at midnight UTC.",
    )
    age = Metric(
        "regime_region_price_age_sessions",
        "Trading days of the instrument since its newest price.",
    )
    stale = Metric(
        "regime_region_stale",
        "1 if the newest price is too old for a regime of today, or if there is no price.",
    )
    for region in regions.records(dict):
        labels = {"region": region["region"], "instrument_id": region["instrument_id"]}
        day.add(_seconds(region["last_price"]), **labels)
        age.add(region["trading_days_old"], **labels)
        stale.add(int(region["is_stale"] is not False), **labels)
    return [day, age, stale]


def _of_series(series: Rows, names: list[str]) -> list[Metric]:
    label = Metric("regime_label", "1 for the last label of the series, 0 for each other label.")
    confidence = Metric("regime_label_confidence_ratio", "Probability of the last label, 0 to 1.")
    day = Metric("regime_label_timestamp_seconds", "Day of the last label, at midnight UTC.")
    volatility = Metric(
        "regime_expected_volatility_ratio",
        "Annual volatility that is expected of the next 21 trading days; 0.2 is 20 %.",
    )
    regimes = Metric("regime_stored_regimes", "Days of the series that have a regime.")
    transitions = Metric("regime_stored_transitions", "Days on which the label changed.")
    for each in series.records(dict):
        key = _key(each)
        for name in dict.fromkeys([*names, each["last_label"]]):
            label.add(int(name == each["last_label"]), **key, label=name)
        confidence.add(each["confidence"], **key)
        day.add(_seconds(each["last_date"]), **key)
        volatility.add(each["expected_volatility"], **key)
        regimes.add(each["regimes"], **key)
        transitions.add(each["transitions"], **key)
    return [label, confidence, day, volatility, regimes, transitions]


def _of_suspicions(series: Rows, suspicious: list[Suspicions] | None) -> list[Metric]:
    prices = Metric(
        "regime_suspicious_prices",
        "Suspicious prices that the last label rests on: in its window, or only in the training "
        "of its model.",
    )
    if suspicious is not None:
        for each in series.records(dict):
            key = _key(each)
            of_series = [found for found in suspicious if _key(vars(found)) == key]
            in_window = sum(found.in_window for found in of_series)
            in_training = sum(found.in_training for found in of_series)
            prices.add(in_window, **key, place="window")
            prices.add(in_training, **key, place="training")
    return [prices]


def _of_runs(runs: Rows) -> list[Metric]:
    count = Metric("regime_runs", "Runs in the ledger; DIED: the process ended unfinished.")
    last = Metric(
        "regime_last_run_timestamp_seconds",
        "When the last run of this command and status ended; of an unfinished one, when it began.",
    )
    for command, status, number, last_at in runs.rows:
        count.add(number, command=command, status=status)
        last.add(_seconds(last_at), command=command, status=status)
    return [count, last]


def _of_audit(audited: Rows[VerdictHistory] | None) -> list[Metric]:
    checks = Metric("regime_audit_checks", "Checks of the last audit with this verdict.")
    at = Metric("regime_audit_timestamp_seconds", "When the last audit ended.")
    if audited and audited.rows:
        verdicts = audited.records(VerdictHistory)
        counts = Counter(each.verdict for each in verdicts)
        for verdict in VERDICTS:
            checks.add(counts[verdict], verdict=verdict)
        at.add(_seconds(max(each.audited_at for each in verdicts)))
    return [checks, at]


def _of_notifications(waiting: Rows) -> list[Metric]:
    count = Metric("regime_waiting_notifications", "Notifications that wait for this channel.")
    since = Metric(
        "regime_waiting_notification_timestamp_seconds",
        "When the oldest notification that waits for this channel was written.",
    )
    for each in waiting.records(dict):
        count.add(each["waiting"], channel=each["channel"])
        since.add(_seconds(each["waiting_since"]), channel=each["channel"])
    return [count, since]


def _key(series: dict) -> dict[str, object]:
    return {name: series[name] for name in ("region", "model_id", "window_days")}


def _seconds(moment: date | None) -> float | None:
    """Seconds since 1970; a day stands for its midnight in UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), UTC)
    return moment.timestamp()


def _escaped(label: object) -> str:
    return str(label).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
