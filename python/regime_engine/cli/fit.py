from datetime import date

import click

from regime_engine.cli.options import DAY, instrument_option, series_options
from regime_engine.config import Settings


class LabelledWindow(click.ParamType):
    name = "LABEL=FROM:TO"

    def convert(self, value, parameter, context):
        from regime_engine.engine import LabelledStretch

        if isinstance(value, LabelledStretch):
            return value
        label, equals, span = value.partition("=")
        start, colon, end = span.partition(":")
        if not (label and equals and colon):
            self.fail(f"{value!r} is not LABEL=FROM:TO, such as CRISIS=2008-09-15:2009-03-31")
        return LabelledStretch(
            label, DAY.convert(start, parameter, context), DAY.convert(end, parameter, context)
        )


@click.command()
@series_options
@instrument_option
@click.option(
    "--classifier",
    type=click.Choice(["prototype"]),
    default="prototype",
    show_default=True,
    help="What to fit.",
)
@click.option(
    "--window",
    "stretches",
    type=LabelledWindow(),
    multiple=True,
    required=True,
    help="As-of dates that show a label, such as CRISIS=2008-09-15:2009-03-31; give several.",
)
@click.option(
    "--valid-from",
    type=DAY,
    help="First date that the version classifies; an earlier one than the default labels dates "
    "that it was trained on or precede its training, and the rows say in_sample.  "
    "[default: the day after the last one trained on]",
)
@click.pass_obj
def fit(
    settings: Settings,
    region: str,
    model_id: str,
    window_days: int,
    instrument_id: str | None,
    classifier: str,
    stretches,
    valid_from: date | None,
) -> None:
    """Fit a classifier and store it as a new model version of the series.

    Dates from its first valid day on are classified by it; run `regime backfill` to do so.
    """
    from regime_engine import engine
    from regime_engine.database import connect
    from regime_engine.models import Series

    with connect(settings) as connection:
        model = engine.fit_prototypes(
            connection,
            settings,
            Series(region, model_id, window_days),
            list(stretches),
            valid_from,
            instrument_id,
        )
    click.echo(
        f"{classifier} version {model.version} of {region}: {', '.join(model.labels)} from "
        f"{model.n_windows:,} windows of {model.trained_from} to {model.trained_to}, "
        f"valid from {model.valid_from}"
    )
