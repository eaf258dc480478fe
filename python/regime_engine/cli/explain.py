import json
from collections.abc import Iterator
from dataclasses import asdict, astuple
from datetime import date
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import day_option, format_option, series_options
from regime_engine.cli.output import print_rows, say, table
from regime_engine.config import Settings
from regime_engine.series import Series

if TYPE_CHECKING:
    from regime_engine.reading.explain import Explanation


@click.command()
@series_options
@day_option("--as-of", "The day.  [default: the last one]")
@format_option
@click.pass_obj
def explain(settings: Settings, series: Series, as_of: date | None, output_format: str) -> None:
    """Explain why a region has its label on a day."""
    from regime_engine.database import connect
    from regime_engine.model_versions import flat
    from regime_engine.reading.explain import explain

    with connect(settings) as database:
        explanation = explain(database, series, as_of=as_of)
    if output_format == "json":
        click.echo(json.dumps(asdict(explanation), default=str, indent=2))
    elif output_format == "csv":
        print_rows(["name", "value"], list(flat("", asdict(explanation))), "csv")
    else:
        say("\n\n".join(_paragraphs(explanation, as_of)))


def _paragraphs(e: "Explanation", as_of: date | None) -> Iterator[str]:
    if as_of and e.as_of_date != as_of:
        yield f"{as_of} has no regime of {e.region}; this is the last one before it."
    runner_up = (
        f"; second is {e.runner_up_label} with {e.probabilities[e.runner_up_label]:.3f}"
        if e.runner_up_label
        else ""
    )
    since = (
        f"{e.regime_label} since {e.since}, {e.trading_days_since:,} trading days ago; before that "
        f"{e.changed_from}."
        if e.since
        else f"{e.regime_label} since the first day of the series, {e.first_day}."
    )
    yield (
        f"{e.region} on {e.as_of_date}: {e.regime_label}, confidence {e.confidence:.3f}"
        f"{runner_up}.\n{since}"
    )
    if e.suspicions:
        yield f"Warning: {e.suspicions}"
    if e.why_no_suspicions:
        yield f"Suspicious prices are not known: {e.why_no_suspicions}"
    rows = [
        (label, probability, *(numbers.get(label) for numbers in e.evidence.values()))
        for label, probability in e.probabilities.items()
    ]
    yield table(["label", "probability", *e.evidence], rows)
    if e.expected_volatility is not None:
        yield _volatility(e.expected_volatility, e.trading_days_a_year)
    if e.constituents:
        votes = [
            (each["region"], each["weight"], each["as_of_date"], each["regime_label"])
            for each in e.constituents
        ]
        yield "Voted by:\n" + table(["region", "weight", "as_of_date", "regime_label"], votes)
    if e.moved:
        before = "the day before the change" if e.since else "the first day"
        headers = ["statistic", str(e.compared_with), str(e.as_of_date), "moved by"]
        yield (
            f"What moved most since {before}, in standard deviations of the days from "
            f"{e.first_day} on:\n" + table(headers, [astuple(each) for each in e.moved])
        )
    if e.analogues:
        yield _analogues(e)
    yield "\n".join(_provenance(e))


def _analogues(e: "Explanation") -> str:
    rows = [
        (
            each.as_of_date,
            each.distance,
            each.regime_label,
            _percent(each.next_21_days_return),
            _percent(each.next_63_days_return),
        )
        for each in e.analogues
    ]
    return "The earlier windows most like this one, and the return of the days after:\n" + table(
        ["as of", "distance", "label", "21 days", "63 days"], rows
    )


def _volatility(annual: float, days_a_year: int | None) -> str:
    text = f"Expected volatility of the next 21 trading days: {annual:.1%} a year"
    if days_a_year is None:
        return f"{text}, the weighted mean of the regions"
    return f"{text}, {annual / days_a_year**0.5:.2%} a day ({days_a_year} trading days a year)"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.1%}"


def _provenance(e: "Explanation") -> Iterator[str]:
    if e.novelty is not None:
        yield f"Novelty: more unusual than {e.novelty:.1f} % of the training windows"
    whose = "the regions that voted" if e.constituents else e.instrument_id
    yield f"Window: {e.window_days} days of {whose}, {e.first_trade_date} to {e.last_trade_date}"
    if e.constituents:
        yield "Model: none; the probabilities are the weighted mean of those of the regions"
    elif e.model_version == 0:
        yield "Model: none was valid on the day; the seed rule says NEUTRAL"
    elif e.model:
        yield (
            f"Model: version {e.model_version}, {e.model.classifier}, trained on "
            f"{e.model.n_windows:,} windows from {e.model.trained_from} to "
            f"{e.model.trained_to}{', this day among them' if e.in_sample else ''}, valid from "
            f"{e.model.valid_from}; hash {e.model.parameters_hash[:16]}…"
        )
    else:
        yield f"Model: version {e.model_version}, which is not stored"
    if e.run:
        yield (
            f"Run: {e.run.run_id}, regime {e.run.command} by {e.run.database_user}, begun "
            f"{e.run.started_at:.19}, regime-engine {e.run.package_version}"
        )
    else:
        yield "Run: not in the ledger"
