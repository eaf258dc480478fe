import click

from regime_engine.cli.options import encoding_options
from regime_engine.cli.output import say
from regime_engine.config import Settings


@click.command()
@encoding_options
@click.option("--drop", is_flag=True, help="Remove the index.")
@click.pass_obj
def index(settings: Settings, model_id: str, window_days: int, drop: bool) -> None:
    """Build a pgvector index: `regime analogues --across market` gives the same results, faster.

    It needs the extension pgvector, 0.7 or newer. While the index is built, no embeddings can be
    written. Afterwards each new embedding costs a fifth of a millisecond more, so embed the market
    first.
    """
    from regime_engine.database import connect
    from regime_engine.store import nearest_index

    with connect(settings) as database:
        if drop:
            nearest_index.drop(database, model_id, window_days)
            say(f"there is no index of {model_id} with windows of {window_days} days")
            return
        name = nearest_index.create(database, model_id, window_days)
        say(f"{name} is an index of {model_id} with windows of {window_days} days")
