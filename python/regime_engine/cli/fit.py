from datetime import date

import click

from regime_engine.cli.options import DAY, instrument_option, series_options
from regime_engine.cli.output import table
from regime_engine.cli.progress import windows_progress
from regime_engine.config import Settings


class LabelledWindow(click.ParamType):
    name = "LABEL=FROM:TO"

    def convert(self, value, parameter, context):
        label, equals, span = value.partition("=")
        start, colon, end = span.partition(":")
        if not (label and equals and colon):
            self.fail(f"{value!r} is not LABEL=FROM:TO, such as CRISIS=2008-09-15:2009-03-31")
        days = (DAY.convert(day, parameter, context) for day in (start, end))
        return (label, *days)


class Period(click.ParamType):
    """A number with its unit, such as 6m or 8y."""

    def __init__(self, unit: str, choices: range | tuple[int, ...]) -> None:
        self.name = f"N{unit}"
        self.unit = unit
        self.choices = choices

    def convert(self, value, parameter, context) -> int:
        if isinstance(value, int):
            return value
        number = value.removesuffix(self.unit)
        if not number.isdecimal() or int(number) not in self.choices:
            first, last = self.choices[0], self.choices[-1]
            self.fail(f"{value!r} is not a period from {first}{self.unit} to {last}{self.unit}")
        return int(number)


@click.command()
@series_options
@instrument_option
@click.option(
    "--classifier",
    help="markov or prototype.  [default: prototype with --window, else markov]",
)
@click.option(
    "--states",
    type=click.Choice(["2", "3", "4", "auto"]),
    help="How many regimes; auto takes the best one-step-ahead log score of returns on the last "
    "30 % of the training days, and prints them all.  [default: 4]",
)
@click.option(
    "--window",
    "labelled",
    type=LabelledWindow(),
    multiple=True,
    help="A period with a label of seeds/regime_labels.csv; repeatable.",
)
@click.option("--start", type=DAY, help="Train from this date; with --walk-forward, label from it.")
@click.option("--end", type=DAY, help="Train up to this date.  [default: the last there is]")
@click.option(
    "--valid-from",
    type=DAY,
    help="First date that the version classifies; with one before the end of its training, rows "
    "up to that say in_sample.  [default: the day after the last one trained on]",
)
@click.option(
    "--walk-forward", is_flag=True, help="Fit a version every --every, trained on --train."
)
@click.option(
    "--every",
    type=Period("m", range(1, 121)),
    help="Calendar months between versions.  [default: 6m]",
)
@click.option(
    "--train",
    type=Period("y", range(1, 101)),
    help="Years before a version that it is trained on. Without --start the first version has "
    "three of them at least; with it, what there is.  [default: 8y]",
)
@click.pass_obj
def fit(
    settings: Settings,
    region: str,
    model_id: str,
    window_days: int,
    instrument_id: str | None,
    classifier: str | None,
    states: str | None,
    labelled: tuple[tuple[str, date, date], ...],
    start: date | None,
    end: date | None,
    valid_from: date | None,
    walk_forward: bool,
    every: int | None,
    train: int | None,
) -> None:
    """Fit a classifier and store it as a new model version of the series.

    A version is valid from its first valid day until a later version begins. To classify dates with
    it, run `regime backfill`. If you repeat a fit, nothing is stored.

    Fit a Markov model with four states to the whole history; it is valid from the next day on:

    \b
    regime fit --region US

    Fit a version for every half-year, each trained on the eight years before it, so that every date
    is labelled by a model of its past. Stored versions are not fitted again:

    \b
    regime fit --region US --walk-forward

    Fit prototypes to periods whose label you know:

    \b
    regime fit --region US --window CRISIS=2008-09-15:2009-03-31 \\
        --window CARRY=2017-01-01:2017-12-31
    """
    if walk_forward and (valid_from or labelled):
        raise click.UsageError("--walk-forward goes with neither --window nor --valid-from")
    if (every or train) and not walk_forward:
        raise click.UsageError("--every and --train go with --walk-forward")
    if labelled and states:
        raise click.UsageError("--window says which labels there are: leave --states out")
    if labelled and (start or end):
        raise click.UsageError("--window says what to train on: leave --start and --end out")
    from regime_engine.database import connect
    from regime_engine.engine import fit
    from regime_engine.series import Series

    series = Series(region, model_id, window_days)
    recipe = fit.Recipe(
        classifier=classifier or ("prototype" if labelled else "markov"),
        n_states=None if states == "auto" else int(states or 4),
        labelled=tuple(fit.LabelledStretch(*each) for each in labelled),
    )
    with connect(settings) as database:
        if walk_forward:
            schedule = fit.WalkForward(every or 6, train or 8)
            models = fit.walk_forward(
                database,
                series,
                recipe,
                schedule,
                start,
                end,
                instrument_id,
                windows_progress(region),
            )
        else:
            models = [fit.fit(database, series, recipe, start, end, valid_from, instrument_id)]
    for model in models:
        if tried := model.metrics.get("states_tried"):
            best = max(tried.values())
            rows = [(int(k), score, score - best) for k, score in tried.items()]
            click.echo(table(["states", "score", "to the best"], rows))
        click.echo(description(model))


def description(model) -> str:
    return (
        f"{model.classifier} version {model.version} of {model.series.region}: "
        f"{', '.join(model.labels)} from {model.n_windows:,} windows of {model.trained_from} to "
        f"{model.trained_to}, valid from {model.valid_from}"
    )
