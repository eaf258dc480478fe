import click

from regime_engine.cli.output import say
from regime_engine.config import Settings


@click.command()
@click.option(
    "--roles",
    "with_roles",
    is_flag=True,
    help="Also create the group roles regime_auditor, regime_engine and regime_builder, and give "
    "each its rights. It needs a login with CREATEROLE. Run it again after the first "
    "`regime load`.",
)
@click.pass_obj
def init(settings: Settings, with_roles: bool) -> None:
    """Create or upgrade the schemas, the engine tables and the seeds.

    It uses dbt, and changes no row of the engine tables. Run it after an upgrade, and after you
    edit a file in `seeds/`.
    """
    from regime_engine import roles
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    with connect(settings) as database:
        if with_roles:
            roles.create(database)
        nightly.initialise(database)
        name = database.connection.info.dbname
        say(f"engine tables and seeds are ready in database {name}")
        if advice := nightly.advice_on_older_embeddings(database):
            say(f"warning: {advice}", err=True)
        if with_roles:
            say(f"its roles are {', '.join(roles.ROLES)}")
