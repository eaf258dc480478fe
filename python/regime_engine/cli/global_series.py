import click

from regime_engine.cli.options import encoding_options
from regime_engine.cli.output import dates_written, last_regime, say
from regime_engine.config import Settings


@click.command(name="global")
@encoding_options
@click.pass_obj
def global_(settings: Settings, model_id: str, window_days: int) -> None:
    """Store the regimes of GLOBAL: a daily vote of the regions by their weights."""
    from regime_engine.database import connect
    from regime_engine.engine import vote

    with connect(settings) as database:
        outcome = vote.vote(database, model_id, window_days)
    say(dates_written(outcome))
    say(last_regime(outcome))
