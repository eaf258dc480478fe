"""What commands send to the server, and the trees that Postgres makes of it.

A tree has every name resolved: tables, columns, functions and conversions between types. Postgres
shows it to a session that asks for it, and an extension such as Citus plans from it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlparse
from psycopg import sql
from servers import TestServer, wait_until

from regime_engine.database import Database, connect

LOGGED = re.compile(
    r"^<(?P<application>[^<>]*)>LOG:  (?:statement|execute [^:]+): (?P<text>.*(?:\n\t.*)*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Sent:
    application: str
    statement: str


@contextmanager
def recorded(server: TestServer) -> Iterator[Callable[[], list[Sent]]]:
    """Within the block, the function gives what was sent to the server since, each text once."""
    log = server.settings.state_directory / "postgres.log"
    with connect(server.settings) as database:
        database.execute("alter system set log_line_prefix = '<%a>'")
        database.execute("alter system set log_statement = 'all'")
        database.execute("select pg_reload_conf()")
        wait_until(database, "select current_setting('log_statement') = 'all'")
        begun = log.stat().st_size

        def sent() -> list[Sent]:
            with log.open("rb") as file:
                file.seek(begun)
                text = file.read().decode(errors="replace")
            each = (
                Sent(found["application"], statement)
                for found in LOGGED.finditer(text)
                for statement in separated(found["text"].replace("\n\t", "\n"))
            )
            return list(dict.fromkeys(each))

        try:
            yield sent
        finally:
            for name in ("log_statement", "log_line_prefix"):
                database.execute("alter system reset {name}", name=sql.Identifier(name))
            database.execute("select pg_reload_conf()")


def separated(text: str) -> list[str]:
    """The statements of a text; dbt sends several in one."""
    return sqlparse.split(text) if ";" in text.rstrip("; \n") else [text]


@dataclass
class Node:
    """A node of Postgres's tree: its type, and its fields by name."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields.get(name)


def read_tree(text: str) -> Any:
    """Nodes as Node, lists as list, all else as text, of what Postgres's outfuncs.c wrote."""
    words = iter(re.findall(r'[(){}]|"(?:[^"\\]|\\.)*"|(?:[^\s(){}\\]|\\.)+', text))

    def value(word: str) -> Any:
        if word == "(":
            return list(iter(lambda: value(next(words)), ")"))
        if word != "{":
            return None if word == "<>" else word
        node = Node(next(words))
        name = ""
        while (word := next(words)) != "}":
            if word.startswith(":"):
                name = word[1:]
                node.fields[name] = None
            elif node.fields[name] is None:
                node.fields[name] = value(word)
            else:  # the bytes of a constant
                value(word)
        return node

    return value(next(words))


def tree_of(database: Database, statement: str) -> Node:
    """The statement as Postgres plans it: every name resolved, and the views written out."""
    shown = []
    connection = database.connection

    def keep(message: psycopg.errors.Diagnostic) -> None:
        if str(message.message_primary).startswith("rewritten parse tree"):
            shown.append(str(message.message_detail))

    connection.add_notice_handler(keep)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local client_min_messages = log")
            connection.execute("set local log_min_messages = fatal")
            connection.execute("set local debug_pretty_print = off")
            connection.execute("set local debug_print_rewritten = on")
            connection.execute(f"prepare shown as {statement}".encode())
            connection.execute("deallocate shown")
    finally:
        connection.remove_notice_handler(keep)
    # PREPARE and DEALLOCATE have trees too, and what they hold is not resolved.
    (tree,) = (each for each in shown if re.match(r"\(\{QUERY [^{]*:utilityStmt\s+<>", each))
    (query,) = read_tree(tree)
    return query


def nodes(tree: Any) -> Iterator[Node]:
    """The nodes of a tree, from above."""
    if isinstance(tree, Node):
        yield tree
        tree = list(tree.fields.values())
    if isinstance(tree, list):
        for each in tree:
            yield from nodes(each)


def of_kind(tree: Any, *kinds: str) -> list[Node]:
    return [node for node in nodes(tree) if node.kind in kinds]
