import click

from regime_engine.cli.options import quiet_option
from regime_engine.cli.output import say
from regime_engine.cli.progress import Phases
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
@quiet_option
@click.pass_obj
def init(settings: Settings, with_roles: bool, quiet: bool) -> None:
    """Create or upgrade the schemas, the engine tables and the seeds.

    It uses dbt, and changes no row of the engine tables. Run it after an upgrade, and after you
    edit a file in `seeds/`. A region that `regime region` added, changed or removed stays so,
    whatever seeds/regions.csv says.
    """
    from regime_engine import roles, seeds
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    with Phases(quiet) as phases, connect(settings) as database:
        if with_roles:
            roles.create(database)
        nightly.initialise(database, phases.begin("building the engine tables"))
        phases.end()
        name = database.connection.info.dbname
        say(f"engine tables and seeds are ready in database {name}")
        if overruled := seeds.overruled(database):
            say(
                "note: `regime region` counts more than regions.csv, and changed "
                f"{', '.join(overruled)}",
                err=True,
            )
        if with_roles:
            say(f"its roles are {', '.join(roles.ROLES)}")
