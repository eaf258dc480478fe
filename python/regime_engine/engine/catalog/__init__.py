"""Compares the objects in the database with those that the installed project would build.

Each view and function is created from the project as a temporary one, and each table's columns and
constraints as a temporary table. Postgres then compares its own descriptions of the two, so that
neither the major version nor the way of writing matters. All of it is rolled back.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg import sql

from regime_engine import roles
from regime_engine.database import Database
from regime_engine.database.statements import names, statement
from regime_engine.dbt import ProjectObject
from regime_engine.errors import RegimeError

NAME = "objects_are_as_the_project_builds_them"
SECTION = "Tables and views"
DESCRIPTION = (
    "The tables, views and functions in the database are those that the installed project would "
    "build: kinds, definitions, columns, constraints, keys, owners, rights to write, and the rows "
    "of the seeds. Nothing beside them changes what the audit reads: triggers, rules, row "
    "security, inheritance, event triggers, casts, and functions or operators added to "
    "pg_catalog. Finds each difference, and says in what_to_run how to repair it."
)
CHECKS = (
    "relations",
    "additions",
    "columns",
    "constraints",
    "indexes",
    "views",
    "functions",
    "grants",
)


class Fault(NamedTuple):
    """What differs of an object, and the SQL or the command that repairs it."""

    kind: str
    object: str
    fault: str
    expected: str
    found: str
    what_to_run: str


@dataclass
class _Candidates:
    """The temporary objects: `names` has one for each object, "" where there is none."""

    names: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def faults(database: Database, objects: Sequence[ProjectObject]) -> list[Fault]:
    """What differs, in order of the objects' names. Leaves nothing in the database.

    raises RegimeError if an event trigger lets nothing be created
    """
    builder = roles.builder_of(database)
    with database.transaction(force_rollback=True):
        if builder:
            database.execute("set local role {builder}", builder=sql.Identifier(builder))
        database.execute("set local check_function_bodies to off")
        found = _faults_of_surroundings(database)
        try:
            found += _faults_of_objects(database, [*objects, _locks(database)])
        except psycopg.Error as error:
            reason = error.diag.message_primary
            for fault in found:
                if fault.kind == "event trigger":
                    raise RegimeError(
                        f"the audit cannot compare the database's objects ({reason}): event "
                        f"trigger {fault.object} {fault.fault}: {fault.what_to_run}"
                    ) from error
            raise
    return sorted(found, key=lambda fault: (fault.kind, fault.object, fault.fault, fault.expected))


def _faults_of_surroundings(database: Database) -> list[Fault]:
    known = {"known_event_triggers": list(database.settings.known_event_triggers)}
    return [Fault._make(row) for row in database.execute(_statement("surroundings"), known)]


def _faults_of_objects(database: Database, objects: Sequence[ProjectObject]) -> list[Fault]:
    candidates = _create_candidates(database, objects)
    _list_objects(database, objects, candidates.names)
    found = list(candidates.faults)
    for check in CHECKS:
        found += map(Fault._make, database.execute(_statement(check)))
    for each, candidate in zip(objects, candidates.names, strict=True):
        if each.rows is not None:
            found += _faults_of_rows(database, each, candidate)
    return found


def _statement(name: str) -> sql.SQL:
    return statement(__package__, name)


def as_query(faults: Sequence[Fault]) -> sql.Composed:
    """A query that gives the faults, one a row."""
    query = sql.SQL("select {columns} from jsonb_to_recordset({faults}) as faults ({typed})")
    return query.format(
        columns=names(Fault._fields),
        faults=sql.Literal(json.dumps([fault._asdict() for fault in faults])) + sql.SQL("::jsonb"),
        typed=sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(" text") for name in Fault._fields),
    )


def _locks(database: Database) -> ProjectObject:
    """The table that Python creates, before dbt's first build."""
    schema, name = database.settings.table("regime_locks")
    return ProjectObject(
        name="regime_locks",
        schema=schema,
        alias=name,
        kind="table",
        definition='"name" text primary key',
        grants={"insert": [roles.ENGINE], "update": [roles.ENGINE]},
        built_by="regime init",
    )


def _create_candidates(database: Database, objects: Sequence[ProjectObject]) -> _Candidates:
    candidates = _Candidates()
    for number, each in enumerate(objects):
        name = f"expected_{number}"
        if not each.definition:
            candidates.names.append("")
            continue
        try:
            with database.transaction():
                database.connection.execute(_create(each, name))
        except psycopg.errors.InsufficientPrivilege:
            raise
        except psycopg.Error as error:
            candidates.names.append("")
            reason = " ".join((error.diag.message_primary or str(error)).split())
            expected = "the project's definition fits the objects that it reads"
            candidates.faults.append(
                Fault(
                    each.kind,
                    f"{each.schema}.{each.alias}",
                    "cannot be compared",
                    expected,
                    reason,
                    each.built_by,
                )
            )
        else:
            candidates.names.append(name)
    return candidates


def _create(each: ProjectObject, name: str) -> sql.Composed:
    """The statement that creates a temporary object as the project would."""
    definition = sql.SQL(each.definition)
    match each.kind:
        case "view":
            query = sql.SQL("create temporary view {} as (\n{}\n)")
        case "table":
            query = sql.SQL("create temporary table {} ({})")
        case _:
            function = sql.Identifier("pg_temp", name).as_string()
            return sql.Composed([sql.SQL(each.definition.replace("{name}", function, 1))])
    return query.format(sql.Identifier(name), definition)


def _list_objects(
    database: Database, objects: Sequence[ProjectObject], candidates: Sequence[str]
) -> None:
    """Create pg_temp.expected_objects, which the checks read."""
    listed = [
        {
            "kind": each.kind,
            "name": each.name,
            "schema_name": each.schema,
            "alias": each.alias,
            "candidate": candidate,
            "grants": dict(each.grants),
            "may_be_partitioned": each.may_be_partitioned,
            "built_by": each.built_by,
        }
        for each, candidate in zip(objects, candidates, strict=True)
    ]
    parameters = {"objects": json.dumps(listed)}
    database.execute(_statement("expected_objects"), parameters)


def _faults_of_rows(database: Database, seed: ProjectObject, candidate: str) -> list[Fault]:
    """The rows of a seed's table that are not in its file, and those of the file that the table
    lacks."""
    if not candidate:
        return []
    table = sql.Identifier(seed.schema, seed.alias)
    expected = sql.Identifier("pg_temp", candidate)
    columns = database.execute(
        _statement("columns_of_both"),
        {"table": table.as_string(), "candidate": expected.as_string()},
    ).fetchall()
    if not columns:
        return []
    compared = names(name for (name,) in columns)
    database.execute(
        "insert into {expected} ({names})"
        " select {names} from jsonb_populate_recordset(null::{expected}, %s::jsonb)",
        [json.dumps(seed.rows)],
        expected=expected,
        names=compared,
    )
    repair = seed.built_by
    if seed.name == "regions":
        repair += " (then `regime region add` or `regime region remove`, which the ledger keeps)"
    found = []
    for fault, one, other in (
        ("has a row that the file lacks", table, expected),
        ("lacks a row of the file", expected, table),
    ):
        rows = database.execute(_statement("rows_of_one"), one=one, other=other, names=compared)
        for (row,) in rows:
            in_file, in_table = ("", row) if one is table else (row, "")
            name = f"{seed.schema}.{seed.alias}"
            found.append(Fault("seed", name, fault, in_file, in_table, repair))
    return found
