"""The three group roles of a database: who reads, who writes, who builds.

dbt's `grants` keep their rights on each table and view; what a table cannot hold is here: the roles
themselves, who owns what dbt made, and the rights on schemas.
"""

from typing import LiteralString

from psycopg import sql

from regime_engine.config import LAYER_OF, Settings
from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError

AUDITOR, ENGINE, BUILDER = "regime_auditor", "regime_engine", "regime_builder"
ROLES = (AUDITOR, ENGINE, BUILDER)


def create(database: Database) -> None:
    """Create the roles and hand what dbt has built to regime_builder; twice is as good as once.

    To be followed by a dbt build, which grants the rights on the engine tables.
    raises RegimeError where the login may not create roles
    """
    settings = database.settings
    historical, runtime = settings.historical_schema, settings.runtime_schema
    staging, features = settings.staging_schema, settings.features_schema
    audit, failures = settings.audit_schema, settings.failures_schema
    with database.transaction():
        _create_missing(database)
        for schema in (historical, runtime, *_built(settings)):
            database.execute("create schema if not exists {name}", name=sql.Identifier(schema))
            _grant(database, "usage, create", "schema", (schema,), BUILDER)
        for schema in (historical, runtime, features, audit, failures):
            _grant(database, "usage", "schema", (schema,), AUDITOR)
        for schema in (historical, runtime, features, staging):
            _grant(database, "usage", "schema", (schema,), ENGINE)
        _hand_over(database)
        if _exists(database, historical, "prices_daily"):
            _grant(database, "select", "table", (historical, "prices_daily"), BUILDER)
        # dbt grants the rights on what it makes from now on, but not on the tables of a test's
        # failures.
        database.execute(
            "alter default privileges for role {builder} in schema {audit}, {failures}"
            " grant select on tables to {auditor}",
            builder=sql.Identifier(BUILDER),
            audit=sql.Identifier(audit),
            failures=sql.Identifier(failures),
            auditor=sql.Identifier(AUDITOR),
        )
        for schema in (features, audit, failures):
            _grant(database, "select", "all tables in schema", (schema,), AUDITOR)
        for table in map(settings.table, ("daily_features", "stg_prices_daily")):
            if _exists(database, *table):
                _grant(database, "select", "table", table, ENGINE)


def builder_of(database: Database) -> str | None:
    """regime_builder, where this database has been given to it and the login may act as it."""
    # Postgres 16 tells a member that may act as the role from one that only inherits its rights.
    right = "SET" if database.connection.info.server_version >= 160000 else "MEMBER"
    found = database.first(
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
    )
    return found[0] if found else None


def _create_missing(database: Database) -> None:
    known = database.execute("select rolname from pg_roles").fetchall()
    missing = [role for role in ROLES if (role,) not in known]
    login, is_superuser, may_create = database.one(
        "select rolname, rolsuper, rolsuper or rolcreaterole"
        " from pg_roles where rolname = current_user"
    )
    if missing and not may_create:
        raise RegimeError(
            f"the login {login} may not create the roles {', '.join(missing)}: run "
            "`regime init --roles` once as one that has CREATEROLE or is a superuser"
        )
    for role in missing:
        database.execute("create role {role} nologin", role=sql.Identifier(role))
    if not is_superuser:
        # Only a member can hand a table over.
        database.execute(
            "grant {builder} to {login}",
            builder=sql.Identifier(BUILDER),
            login=sql.Identifier(login),
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
    settings = database.settings
    embeddings_schema, embeddings = settings.table("numeric_window_embeddings")
    of_runtime = [name for name, layer in LAYER_OF.items() if layer == "runtime"]
    relations = database.execute(
        statement(__package__, "relations_to_hand_over"),
        {
            "built": list(_built(settings)),
            "runtime": settings.runtime_schema,
            "tables": [settings.table(name)[1] for name in of_runtime],
            "historical": embeddings_schema,
            "embeddings": embeddings,
            "builder": BUILDER,
        },
    ).fetchall()
    builder = sql.Identifier(BUILDER)
    for schema, name in relations:
        database.execute(
            "alter table {relation} owner to {builder}",
            relation=sql.Identifier(schema, name),
            builder=builder,
        )
    routines = database.execute(
        "select oid::regprocedure::text from pg_proc"
        " where pronamespace = (select oid from pg_namespace where nspname = %s)"
        " and proowner <> %s::regrole",
        [settings.audit_schema, BUILDER],
    ).fetchall()
    for (signature,) in routines:
        database.execute(
            "alter routine {signature} owner to {builder}",
            # As Postgres itself writes it, quoted where it has to be.
            signature=sql.SQL(signature),
            builder=builder,
        )


def _grant(
    database: Database,
    rights: LiteralString,
    kind: LiteralString,
    name: tuple[str, ...],
    role: str,
) -> None:
    database.execute(
        "grant {rights} on {kind} {name} to {role}",
        rights=sql.SQL(rights),
        kind=sql.SQL(kind),
        name=sql.Identifier(*name),
        role=sql.Identifier(role),
    )


def _exists(database: Database, schema: str, name: str) -> bool:
    table = sql.Identifier(schema, name).as_string(database.connection)
    (found,) = database.one("select to_regclass(%s)", [table])
    return found is not None
