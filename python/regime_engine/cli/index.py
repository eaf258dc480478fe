import click

from regime_engine.cli.options import encoding_options
from regime_engine.config import Settings


@click.command()
@encoding_options
@click.option("--drop", is_flag=True, help="Remove it.")
@click.pass_obj
def index(settings: Settings, model_id: str, window_days: int, drop: bool) -> None:
    """Make the index by which `regime analogues --across market` finds the same, sooner.

    Needs the extension pgvector, 0.7 or newer. Embeddings cannot be written while it is made, and
    each that is written from then on costs a fifth of a millisecond more: embed a market first.
    """
    from regime_engine.database import connect
    from regime_engine.store import nearest_index

    with connect(settings) as database:
        if drop:
            nearest_index.drop(database, model_id, window_days)
            click.echo(f"there is no index of {model_id} with windows of {window_days} days")
            return
        name = nearest_index.create(database, model_id, window_days)
        click.echo(f"{name} is an index of {model_id} with windows of {window_days} days")
