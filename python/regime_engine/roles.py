"""The three group roles of a database: who reads, who writes, who builds.

dbt's `grants` keep their rights on each table and view; what a table cannot hold is here: the roles
themselves, who owns what dbt made, and the rights on schemas.
"""

from psycopg import sql

from regime_engine.config import LAYER_OF, Settings
from regime_engine.database import Database
from regime_engine.errors import RegimeError

AUDITOR, ENGINE, BUILDER = "regime_auditor", "regime_engine", "regime_builder"
ROLES = (AUDITOR, ENGINE, BUILDER)


def create(database: Database) -> None:
    """Create the roles and hand what dbt has built to regime_builder; twice is as good as once.

    To be followed by a dbt build, which grants the rights on the engine tables.
    raises RegimeError where the login may not create roles
    """
    historical, runtime = database.settings.historical_schema, database.settings.runtime_schema
    staging, features = database.settings.staging_schema, database.settings.features_schema
    audit, failures = database.settings.audit_schema, database.settings.failures_schema
    with database.transaction():
        _create_missing(database)
        for schema in (historical, runtime, *_built(database)):
            database.execute(
                sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))
            )
            _grant(database, "usage, create", "schema", (schema,), BUILDER)
        for schema in (historical, runtime, features, audit, failures):
            _grant(database, "usage", "schema", (schema,), AUDITOR)
        for schema in (historical, runtime, features, staging):
            _grant(database, "usage", "schema", (schema,), ENGINE)
        _hand_over(database)
        if _exists(database, historical, "prices_daily"):
            _grant(database, "select", "table", (historical, "prices_daily"), BUILDER)
        # What dbt makes from now on it grants itself; but for the tables of a test's failures.
        database.execute(
            sql.SQL(
                "alter default privileges for role {} in schema {}, {} grant select on tables to {}"
            ).format(*map(sql.Identifier, (BUILDER, audit, failures, AUDITOR)))
        )
        for schema in (features, audit, failures):
            _grant(database, "select", "all tables in schema", (schema,), AUDITOR)
        for table in map(database.settings.table, ("daily_features", "stg_prices_daily")):
            if _exists(database, *table):
                _grant(database, "select", "table", table, ENGINE)


def builder_of(database: Database) -> str | None:
    """regime_builder, where this database has been given to it and the login may act as it."""
    # Postgres 16 tells a member that may act as the role from one that only inherits its rights.
    right = "SET" if database.connection.info.server_version >= 160000 else "MEMBER"
    found = database.execute(
        """
        select rolname
        from pg_roles
        where
            rolname = %s
            and pg_has_role(oid, %s)
            and exists (
                select 1
                from pg_namespace
                where
                    nspname = %s
                    and has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'CREATE')
            )
        """,
        [BUILDER, right, database.settings.runtime_schema],
    ).fetchone()
    return found[0] if found else None


def _create_missing(database: Database) -> None:
    known = database.execute("select rolname from pg_roles").fetchall()
    missing = [role for role in ROLES if (role,) not in known]
    login, is_superuser, may_create = database.execute(
        "select rolname, rolsuper, rolsuper or rolcreaterole"
        " from pg_roles where rolname = current_user"
    ).fetchone()
    if missing and not may_create:
        raise RegimeError(
            f"the login {login} may not create the roles {', '.join(missing)}: run "
            "`regime init --roles` once as one that has CREATEROLE or is a superuser"
        )
    for role in missing:
        database.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    if not is_superuser:
        # Only a member can hand a table over.
        database.execute(
            sql.SQL("grant {} to {}").format(sql.Identifier(BUILDER), sql.Identifier(login))
        )


def _built(settings: Settings) -> tuple[str, ...]:
    """Schemas in which everything is dbt's."""
    return (
        settings.staging_schema,
        settings.features_schema,
        settings.audit_schema,
        settings.failures_schema,
    )


def _hand_over(database: Database) -> None:
    """What dbt has built belongs to the builders, whoever built it."""
    embeddings = database.settings.table("numeric_window_embeddings")
    of_runtime = [name for name, layer in LAYER_OF.items() if layer == "runtime"]
    relations = database.execute(
        """
        select nspname, relname
        from pg_class
        inner join pg_namespace on pg_namespace.oid = relnamespace
        where
            relkind in ('r', 'p', 'v', 'm')
            and (
                nspname = any(%(built)s)
                or (nspname = %(runtime)s and relname = any(%(tables)s))
                or (nspname = %(historical)s and relname = %(embeddings)s)
                or pg_class.oid in (
                    select relid
                    from pg_partition_tree(
                        to_regclass(format('%%I.%%I', %(historical)s::text, %(embeddings)s::text))
                    )
                )
            )
            and relowner <> (select oid from pg_roles where rolname = %(builder)s)
        """,
        {
            "built": list(_built(database)),
            "runtime": database.settings.runtime_schema,
            "tables": [database.settings.table(name)[1] for name in of_runtime],
            "historical": embeddings[0],
            "embeddings": embeddings[1],
            "builder": BUILDER,
        },
    ).fetchall()
    for name in relations:
        database.execute(
            sql.SQL("alter table {} owner to {}").format(
                sql.Identifier(*name), sql.Identifier(BUILDER)
            )
        )
    routines = database.execute(
        "select oid::regprocedure::text from pg_proc"
        " where pronamespace = (select oid from pg_namespace where nspname = %s)"
        " and proowner <> %s::regrole",
        [database.settings.audit_schema, BUILDER],
    ).fetchall()
    for (signature,) in routines:
        database.execute(
            # As Postgres itself writes it, quoted where it has to be.
            sql.SQL("alter routine {} owner to {}").format(
                sql.SQL(signature), sql.Identifier(BUILDER)
            )
        )


def _grant(
    database: Database, rights: str, kind: str, name: tuple[str, ...], role: str
) -> None:
    database.execute(
        sql.SQL("grant {} on {} {} to {}").format(
            sql.SQL(rights), sql.SQL(kind), sql.Identifier(*name), sql.Identifier(role)
        )
    )


def _exists(database: Database, schema: str, name: str) -> bool:
    table = sql.Identifier(schema, name).as_string(database)
    (found,) = database.execute("select to_regclass(%s)", [table]).fetchone()
    return found is not None
