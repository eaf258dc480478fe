from datetime import date

import click

from regime_engine.cli.options import (
    day,
    day_option,
    instrument_option,
    period,
    quiet_option,
    series_options,
    train_option,
    train_years,
)
from regime_engine.cli.output import say, table
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.series import Series


def labelled_window(text: str) -> tuple[str, date, date]:
    """LABEL=FROM:TO: the type of an option."""
    label, equals, span = text.partition("=")
    start, colon, end = span.partition(":")
    if not (label and equals and colon):
        raise click.BadParameter(
            f"{text!r} is not LABEL=FROM:TO, such as CRISIS=2008-09-15:2009-03-31"
        )
    return label, day(start), day(end)


@click.command()
@series_options
@instrument_option
@click.option(
    "--classifier", help="markov or prototype.  [default: prototype with --window, else markov]"
)
@click.option(
    "--states",
    type=click.Choice(["2", "3", "4", "auto"]),
    help="Number of regimes. `auto` tries 2, 3 and 4, prints how well each predicts the returns of "
    "the last 30 % of the training days (one-step-ahead log score), and takes the best.  "
    "[default: 4]",
)
@click.option(
    "--window",
    "labelled",
    type=labelled_window,
    metavar="LABEL=FROM:TO",
    multiple=True,
    help="A period with a label of seeds/regime_labels.csv; repeatable.",
)
@day_option("--start", "Train from this date. With --walk-forward, label from it.")
@day_option("--end", "Train up to this date.  [default: the last one]")
@day_option(
    "--valid-from",
    "First date that the version classifies. If the training ends later, the rows up to its "
    "end are marked in_sample.  [default: the day after the last one trained on]",
)
@click.option(
    "--walk-forward",
    is_flag=True,
    help="Fit a version every --every, each trained on days before it.",
)
@click.option(
    "--every",
    type=period("m", longest=120),
    metavar="Nm",
    help="Calendar months between versions.  [default: 6m]",
)
@train_option
@quiet_option
@click.pass_obj
def fit(
    settings: Settings,
    series: Series,
    instrument_id: str | None,
    classifier: str | None,
    states: str | None,
    labelled: tuple[tuple[str, date, date], ...],
    start: date | None,
    end: date | None,
    valid_from: date | None,
    walk_forward: bool,
    every: int | None,
    train: int | str | None,
    quiet: bool,
) -> None:
    """Fit a classifier and store it as a new model version of the series.

    A version is valid from its first valid day until a later version begins. To classify dates with
    it, run `regime backfill`. If you repeat a fit, nothing new is stored.

    Fit a Markov model with four states to the whole history; it is valid from the next day on:

    \b
    regime fit --region US

    Fit a version for every half-year, each trained on all the days before it, so that every date is
    labelled by a model of its past. Stored versions are not fitted again:

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

    recipe = fit.Recipe(
        classifier=classifier or ("prototype" if labelled else "markov"),
        n_states=None if states == "auto" else int(states or 4),
        labelled=tuple(fit.LabelledStretch(*each) for each in labelled),
    )
    warnings: list[str] = []
    with Phases(quiet) as phases, connect(settings) as database:
        progress = phases.begin(f"fitting {series.region}")
        if walk_forward:
            models = fit.walk_forward(
                database,
                series,
                recipe,
                fit.WalkForward(every or 6, train_years(train)),
                start=start,
                end=end,
                instrument_id=instrument_id,
                progress=progress,
                warn=warnings.append,
            )
        else:
            model = fit.fit(
                database,
                series,
                recipe,
                start=start,
                end=end,
                valid_from=valid_from,
                instrument_id=instrument_id,
            )
            models = [model]
    for warning in warnings + fit.doubts(models):
        say(f"warning: {warning}", err=True)
    for model in models:
        if tried := model.metrics.get("states_tried"):
            best = max(tried.values())
            rows = [(int(k), score, score - best) for k, score in tried.items()]
            say(table(["states", "score", "to the best"], rows))
        say(
            f"{model.classifier} version {model.version} of {series.region}: "
            f"{', '.join(model.labels)} from {model.n_windows:,} windows of {model.trained_from} "
            f"to {model.trained_to}, valid from {model.valid_from}"
        )
