"""What a Citus refuses of a statement, seen in the tree that a plain Postgres makes of it.

The rules are refusals of Citus 13.2, without which the commands do not run there. A statement that
they let pass can still be refused: test_citus.py runs the commands on a real one.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from psycopg import errors
from statements import Node, Sent, nodes, of_kind, tree_of
from stored import EMBEDDINGS, FEATURES, MODELS, PRICES, REGIMES, RUNS, TRANSITIONS

from regime_engine.database import Database, distinct
from regime_engine.database.statements import statement

COMMENTS = re.compile(r"(\s|/\*.*?\*/|--[^\n]*\n)*", re.DOTALL)
READS = re.compile(r"(with|select|values)\b", re.IGNORECASE)
WRITES = re.compile(r"(with|insert|update|delete|merge)\b", re.IGNORECASE)
TEMPORARY = re.compile(r"create temporary table\b", re.IGNORECASE)
AS_QUERY = re.compile(r"[^(]*\bas\b", re.IGNORECASE)
# On a Citus, database/distinct.py sends another one.
PLAIN_ONLY, _, _ = statement(distinct.__package__, "distinct_by_key").as_string().partition("{")
# What distribute_tables does, with many instruments: the column by which a table is distributed, or
# every node.
DISTRIBUTED = {
    PRICES: "instrument_id",
    FEATURES: "instrument_id",
    EMBEDDINGS: "entity_id",
    REGIMES: "region",
}
ON_EVERY_NODE = (
    *("runtime.regions", "runtime.regime_labels", TRANSITIONS, MODELS, RUNS),
    *("runtime.notifications", "runtime.notification_deliveries"),
)
INSERT = "3"  # CmdType of nodes.h
ALWAYS = "1"  # CTEMaterialize of parsenodes.h


class Source(StrEnum):
    """What stands in FROM; RTEKind of parsenodes.h"""

    RELATION = "0"
    SUBQUERY = "1"
    FUNCTION = "3"
    VALUES = "5"
    CTE = "6"


OPERATORS = ("OPEXPR", "DISTINCTEXPR", "NULLIFEXPR", "SCALARARRAYOPEXPR")
TEXT_EQUALS_TEXT = "98"  # of pg_operator.dat
IMMUTABLE, STABLE, VOLATILE = "isv"


@dataclass(frozen=True)
class Rules:
    """The rules, for the tables and functions of a database."""

    database: Database

    def broken(self, statement: str) -> set[str]:
        """The rules that the statement breaks, each named for what a Citus refuses."""
        tree = tree_of(self.database, statement)
        ctes = {each["ctename"]: each for each in of_kind(tree, "COMMONTABLEEXPR")}
        return {
            rule
            for query in of_kind(tree, "QUERY")
            for rule in (*self._write(query), *self._read(query, ctes))
        }

    def _write(self, query: Node) -> Iterator[str]:
        place = int(query["resultRelation"])
        if not place:
            return
        tables = list(query["rtable"])
        target = tables.pop(place - 1)["relid"]
        if target not in self.distributed.keys() | self.copied:
            return
        expressions = [query["targetList"], query["jointree"]]
        if self._volatility(query["returningList"]) - {IMMUTABLE}:
            yield "function that is not IMMUTABLE in RETURNING"
        if query["commandType"] == INSERT:
            selects = any(each["rtekind"] == Source.SUBQUERY for each in tables)
            if not selects and of_kind([expressions, tables], "SUBLINK"):
                yield "subquery in INSERT … VALUES"
            if self._volatility(query["onConflict"]) - {IMMUTABLE}:
                yield "function that is not IMMUTABLE in ON CONFLICT"
            return
        if VOLATILE in self._volatility(expressions):
            yield "VOLATILE function in UPDATE or DELETE"
        if any(
            STABLE in self._volatility(call, within=False) and of_kind(call, "VAR")
            for call in nodes(expressions)
        ):
            yield "STABLE function of a column in UPDATE or DELETE"
        if target in self.copied:
            read = relations([tables, expressions, query["cteList"]])
            if read - self.copied - self.distributed.keys():
                yield "UPDATE or DELETE that reads a table of one node"
            if relations(tables, within=False) & self.distributed.keys():
                yield "UPDATE or DELETE that reads a distributed table"

    def _read(self, query: Node, ctes: dict[str, Node]) -> Iterator[str]:
        tables = query["rtable"] or []
        if query["hasRecursive"] == "true" and self._of_all_nodes(query["cteList"]):
            yield "WITH RECURSIVE of a distributed table"
        # A range table counts from 1.
        rows = {
            str(place) for place, each in enumerate(tables, 1) if self._is_everywhere(each, ctes)
        }
        expressions = [query["targetList"], query["jointree"], query["havingQual"]]
        subqueries = [each["subselect"] for each in of_kind(expressions, "SUBLINK")]
        subqueries += [
            each["subquery"]
            for each in tables
            if each["lateral"] == "true"
            and each["subquery"]
            and makes_few_of_many(each["subquery"])
        ]
        for subquery in subqueries:
            outer = set(outer_columns(subquery))
            if rows & outer and self._of_all_nodes(subquery):
                yield "subquery of a distributed table for each row of another"
            read = relations(subquery["rtable"], within=False)
            own = relations(tables, within=False)
            if outer and own & self.distributed.keys() and read & self.local:
                yield "subquery of a table of one node for each row of a distributed table"

    def _is_everywhere(self, table: Node, ctes: dict[str, Node]) -> bool:
        """Whether what stands in FROM has the same rows on every node."""
        match table["rtekind"]:
            case Source.RELATION:
                return table["relid"] not in self.distributed
            case Source.SUBQUERY:
                return not self._of_all_nodes(table["subquery"])
            case Source.CTE:
                cte = ctes[table["ctename"]]
                is_a_result = cte["cterefcount"] != "1" or cte["ctematerialized"] == ALWAYS
                return is_a_result or not self._of_all_nodes(cte["ctequery"])
        return table["rtekind"] in (Source.FUNCTION, Source.VALUES)

    def _of_all_nodes(self, tree: Any) -> bool:
        """Whether the tree reads a distributed table, and not of one instrument only."""
        return any(
            each["rtekind"] == Source.RELATION
            and (column := self.distributed.get(each["relid"]))
            and not is_fixed(query, str(place), column)
            for query in of_kind(tree, "QUERY")
            for place, each in enumerate(query["rtable"] or [], 1)
        )

    def _volatility(self, tree: Any, within: bool = True) -> set[str]:
        """How volatile the functions of a tree are; within: also those below its first node"""
        return {
            self._of_function[function]
            for node in (nodes(tree) if within else [tree])
            for function in self._called(node)
        }

    def _called(self, node: Node) -> Iterator[str]:
        if node.kind == "FUNCEXPR":
            yield node["funcid"]
        elif node.kind in OPERATORS:
            yield node["opfuncid"]
        elif node.kind == "COERCEVIAIO":
            _, written = self._of_type[result_type(node["arg"])]
            read, _ = self._of_type[node["resulttype"]]
            yield from (written, read)

    @cached_property
    def distributed(self) -> dict[str, str]:
        """Table → place of the column by which it is distributed. All by their numbers."""
        return {
            self.database.one("select %s::regclass::oid::text", [table])[0]: self.database.one(
                "select attnum::text from pg_attribute"
                " where attrelid = %s::regclass and attname = %s",
                [table, column],
            )[0]
            for table, column in DISTRIBUTED.items()
        }

    @cached_property
    def copied(self) -> set[str]:
        query = "select name::regclass::oid::text from unnest(%s::text[]) as name"
        return {name for (name,) in self.database.execute(query, [list(ON_EVERY_NODE)])}

    @cached_property
    def local(self) -> set[str]:
        """The other tables: they are only where the command is connected."""
        query = "select oid::text from pg_class where relkind in ('r', 'p') and oid >= 16384"
        tables = {name for (name,) in self.database.execute(query)}
        return tables - self.copied - self.distributed.keys()

    @cached_property
    def _of_function(self) -> dict[str, str]:
        return dict(self.database.rows("select oid::text, provolatile::text from pg_proc").rows)

    @cached_property
    def _of_type(self) -> dict[str, tuple[str, str]]:
        """Type → the functions that read it from a text and write it as one"""
        query = "select oid::text, typinput::oid::text, typoutput::oid::text from pg_type"
        return {name: tuple(functions) for name, *functions in self.database.execute(query)}


def refused(database: Database, sent: Iterable[Sent]) -> dict[str, set[str]]:
    """The statements of commands, and of the dbt that they call, that a Citus would not take.

    The queries of dbt's views and tests are left out: Citus plans most of them step by step, and a
    refused one writes nothing.
    """
    texts = dict.fromkeys((each.application, named_here(each.statement)) for each in sent)
    with database.transaction(force_rollback=True):
        for _, text in texts:
            if TEMPORARY.match(text):
                table = re.sub(r"\$\d+", "null", text)
                empty = " with no data" if AS_QUERY.match(text) else ""
                with contextlib.suppress(errors.DuplicateTable), database.transaction():
                    database.connection.execute(f"{table}{empty}".encode())
        rules = Rules(database)
        broken = {
            text: rules.broken(text)
            for application, text in texts
            if (application in ("regime", "dbt") and WRITES.match(text))
            or (application == "regime" and READS.match(text))
            if PLAIN_ONLY not in text
        }
    return {text: rules for text, rules in broken.items() if rules}


def named_here(statement: str) -> str:
    """A statement without its end, and without what dbt names anew in each database and run."""
    bare = COMMENTS.sub("", statement, count=1).rstrip("; \n")
    unnumbered = re.sub(r"__dbt_tmp\d+", "__dbt_tmp", bare)
    return re.sub(r'"\w+"\.("\w+"\."\w+")', r"\1", unnumbered)


def relations(tree: Any, within: bool = True) -> set[str]:
    """The tables of some entries of FROM; within: also those of their subqueries"""
    entries = [node for node in (nodes(tree) if within else tree or []) if node["rtekind"]]
    return {each["relid"] for each in entries if each["rtekind"] == Source.RELATION}


def makes_few_of_many(query: Node) -> bool:
    """Whether the query aggregates, limits or sorts out; any other is a join."""
    flags = (query["hasAggs"], query["hasWindowFuncs"], query["hasDistinctOn"])
    clauses = (query["groupClause"], query["distinctClause"], query["limitCount"])
    return "true" in flags or any(clauses)


def outer_columns(query: Node) -> Iterator[str]:
    """The tables of the next outer query of whose columns the query makes use, by their places."""

    def within(tree: Any, depth: int) -> Iterator[str]:
        if isinstance(tree, list):
            for each in tree:
                yield from within(each, depth)
        elif isinstance(tree, Node):
            if tree.kind == "VAR" and int(tree["varlevelsup"]) == depth:
                yield tree["varno"]
            for each in tree.fields.values():
                yield from within(each, depth + (tree.kind == "QUERY"))

    return within(query, 0)


def is_fixed(query: Node, table: str, column: str) -> bool:
    """Whether a condition of the query asks for one value of the column."""
    return any(
        condition["opno"] == TEXT_EQUALS_TEXT
        and {each.kind for each in condition["args"]} <= {"VAR", "CONST", "PARAM", "RELABELTYPE"}
        and [
            (each["varno"], each["varattno"], each["varlevelsup"])
            for each in of_kind(condition["args"], "VAR")
        ]
        == [(table, column, "0")]
        for condition in of_kind(query["jointree"], "OPEXPR")
    )


def result_type(expression: Node) -> str:
    """The type of what an expression gives."""
    if expression.kind == "SUBSCRIPTINGREF":
        return expression["refrestype"]
    suffixes = ("vartype", "consttype", "paramtype", "funcresulttype", "opresulttype", "resulttype")
    others = ("coalescetype", "casetype", "aggtype", "wintype", "minmaxtype", "typeId", "type")
    return next(expression[name] for name in (*suffixes, *others) if expression[name])
