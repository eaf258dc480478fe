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
    """Create the roles and hand what dbt has built to regime_builder.

    A second call changes nothing. To be followed by a dbt build, which grants the rights on the
    engine tables.
    raises RegimeError where the login may not create roles
    """
    settings = database.settings
    staging, features, audit, failures = built = _built(settings)
    engine = (settings.historical_schema, settings.runtime_schema)
    with database.transaction():
        _create_missing(database)
        for schema in (*engine, *built):
            database.execute("create schema if not exists {name}", name=sql.Identifier(schema))
            _grant(database, "usage, create on schema", BUILDER, schema)
        for schema in (*engine, *built):
            _grant(database, "usage on schema", AUDITOR, schema)
        for schema in (*engine, features, staging, audit):
            _grant(database, "usage on schema", ENGINE, schema)
        database.create_locks()
        _grant(database, "select, insert, update on table", ENGINE, *settings.table("regime_locks"))
        _hand_over(database)
        _grant_select(database, BUILDER, settings.historical_schema, "prices_daily")
        # dbt grants the rights on what it makes from now on, but not on the tables of a test's
        # failures.
        database.execute(
            "alter default privileges for role {builder} in schema {schemas}"
            " grant select on tables to {auditor}",
            builder=sql.Identifier(BUILDER),
            schemas=sql.SQL(", ").join(map(sql.Identifier, (audit, failures))),
            auditor=sql.Identifier(AUDITOR),
        )
        for schema in (features, audit, failures):
            _grant(database, "select on all tables in schema", AUDITOR, schema)
        for model in ("daily_features", "stg_prices_daily", "price_suspicions"):
            _grant_select(database, ENGINE, *settings.table(model))
        _grant_select(database, AUDITOR, *settings.table("stg_prices_daily"))


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
        query = sql.SQL("grant {} to {}").format(sql.Identifier(BUILDER), sql.Identifier(login))
        database.execute(query)


def _built(settings: Settings) -> tuple[str, str, str, str]:
    """The schemas in which everything is dbt's: staging, features, audit, failures."""
    audit, failures = settings.audit_schema, settings.failures_schema
    return settings.staging_schema, settings.features_schema, audit, failures


def _hand_over(database: Database) -> None:
    """What dbt has built belongs to the builders, whoever built it."""
    settings = database.settings
    historical, embeddings = settings.table("numeric_window_embeddings")
    of_runtime = [name for name, layer in LAYER_OF.items() if layer == "runtime"]
    parameters = {
        "built": list(_built(settings)),
        "runtime": settings.runtime_schema,
        "tables": [settings.table(name)[1] for name in of_runtime],
        "historical": historical,
        "embeddings": embeddings,
        "builder": BUILDER,
    }
    to_hand_over = statement(__package__, "relations_to_hand_over")
    relations = database.execute(to_hand_over, parameters).fetchall()
    builder = sql.Identifier(BUILDER)
    for relation in relations:
        query = "alter table {relation} owner to {builder}"
        database.execute(query, relation=sql.Identifier(*relation), builder=builder)
    routines = database.execute(
        "select oid::regprocedure::text from pg_proc"
        " where pronamespace = (select oid from pg_namespace where nspname = %s)"
        " and proowner <> %s::regrole",
        [settings.audit_schema, BUILDER],
    ).fetchall()
    for (signature,) in routines:
        # A signature is as Postgres itself writes it, quoted where it has to be.
        query = "alter routine {signature} owner to {builder}"
        database.execute(query, signature=sql.SQL(signature), builder=builder)


def _grant(database: Database, rights: LiteralString, role: str, *name: str) -> None:
    """rights: with the kind of what they are on, whose name follows, as in `usage on schema`"""
    query = sql.SQL("grant {} {} to {}").format(
        sql.SQL(rights), sql.Identifier(*name), sql.Identifier(role)
    )
    database.execute(query)


def _grant_select(database: Database, role: str, *table: str) -> None:
    """The right to read a table, if it is there."""
    name = sql.Identifier(*table).as_string(database.connection)
    if database.one("select to_regclass(%s) is not null", [name])[0]:
        _grant(database, "select on table", role, *table)
