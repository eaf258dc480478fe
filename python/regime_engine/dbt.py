"""The only file that knows dbt: builds and tests the project in this process.

The project is this package's own, or a team's that has it installed as a dbt package."""

import contextlib
import hashlib
import logging
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from psycopg import sql

from regime_engine import roles
from regime_engine.config import ALIAS, LAYER_OF, Settings
from regime_engine.database import Database, advice_on_timeouts, libpq_environment
from regime_engine.database.session import settings_statement
from regime_engine.errors import RegimeError

if TYPE_CHECKING:  # importing dbt takes a second and a half
    from dbt.adapters.contracts.connection import Connection
    from dbt.artifacts.schemas.run import RunResult
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

PROJECT_NAME = "regime_engine"

Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed or test.

    status: success, pass, warn, fail, error or skipped, as dbt says it
    query: a test's SQL; its rows are the offending ones
    failures_table: (schema, name) of the table that is to keep those rows; None where none is
    """

    name: str
    resource_type: str
    status: str
    message: str
    failures: int
    description: str
    query: str
    failures_table: tuple[str, str] | None


@dataclass(frozen=True)
class ProjectObject:
    """A table, view or function as the project builds it.

    name: of the model, seed or function; `schema` and `alias` are its name in the database
    kind: table, view or function
    definition: a view's query; a table's columns and constraints; the statement that creates a
        function, with a slot {name}; "" where the project does not say
    may_be_partitioned: whether the table may be one that is partitioned by as_of_date
    grants: privilege → the roles that the project grants it to
    rows: those of a seed's file, by column
    built_by: the command that builds it
    """

    name: str
    schema: str
    alias: str
    kind: str
    definition: str
    grants: Mapping[str, Sequence[str]]
    built_by: str
    may_be_partitioned: bool = False
    rows: Sequence[Mapping[str, str | None]] | None = None


@dataclass(frozen=True)
class Tested:
    """What a selector's tests found, and the objects of the project that they ran on."""

    results: list[NodeResult]
    objects: list[ProjectObject]


def no_progress(done: int, total: int, name: str) -> None:
    """Shows nothing."""


def build(database: Database, selector: str, progress: Progress = no_progress) -> list[NodeResult]:
    """Models and seeds of a selector of selectors.yml, each with its tests, in order of lineage."""
    with _dbt(database, progress) as dbt:
        results = dbt.run("build", *dbt.selection(selector))
        dbt.require_results(results, selector)
    return [_node_result(result) for result in results]


def test(
    database: Database,
    selector: str,
    progress: Progress = no_progress,  # noqa: PT028 (no test of pytest)
) -> Tested:
    """Every test of a selector; a build skips those of a model that depends on a failed one.

    A test's verdict comes from its query. dbt would count the rows of the table that keeps them,
    which a trigger or a rule can empty. What the session resolves does not depend on a profile's
    search_path.
    """
    with _dbt(database, progress, keeps_search_path=False) as dbt:
        manifest = dbt.parse()
        kept: dict[str, tuple[str, str]] = {}
        for node in manifest.nodes.values():
            if node.resource_type == "test" and node.should_store_failures:
                kept[node.unique_id] = (node.schema, node.alias)
                node.config.store_failures = False
        results = dbt.run("test", *dbt.selection(selector))
        dbt.require_results(results, selector)
        dbt.be_silent()
        objects = _project_objects(dbt, manifest)
    return Tested(
        [_node_result(result, kept.get(result.node.unique_id)) for result in results], objects
    )


class _Dbt:
    """dbt in this process, on one project and database. The locks and sessions are of `_dbt`."""

    def __init__(
        self, database: Database, progress: Progress, target: str, handles: list[Any]
    ) -> None:
        self.database = database
        self._handles = handles
        self.project = project_directory(database.settings)
        self._runner = _runner(progress)
        self._options = [*_profiles(self.project), "--project-dir", str(self.project)]
        self._options += ["--target-path", target, "--log-path", target, "--log-level", "none"]
        self._options += ["--log-level-file", "none", "--no-use-colors", "--no-version-check"]
        self._options += ["--no-write-json"]

    def selection(self, selector: str) -> list[str]:
        return _selection(self.project, selector)

    def parse(self) -> "Manifest":
        """The parsed project, which later commands use as it then is."""
        manifest: Manifest = self._invoke("parse")
        self._runner.manifest = manifest
        return manifest

    def be_silent(self) -> None:
        """Report no more progress."""
        self._runner.callbacks.clear()

    def run(self, command: str, *arguments: str) -> "list[RunResult]":
        """raises RegimeError where dbt could not begin"""
        executed = self._invoke(command, *arguments).results
        # A hook of the project is reported only if it failed.
        return [
            result
            for result in executed
            if result.node.resource_type != "operation" or result.status != "success"
        ]

    def require_results(self, results: "list[RunResult]", selector: str) -> None:
        """raises RegimeError where the selector matches nothing, or dbt's names are not those of
        the settings"""
        if not results:
            raise RegimeError(f"dbt selector {selector} matches nothing in {self.project}")
        dbname, settings = self.database.connection.info.dbname, self.database.settings
        _require_names(results, dbname, settings)

    def _invoke(self, command: str, *arguments: str) -> Any:
        with interruptible(self._handles) as interruption:
            outcome = self._runner.invoke([command, *arguments, *self._options])
        if interruption.is_set() or isinstance(outcome.exception, KeyboardInterrupt):
            raise KeyboardInterrupt
        if outcome.exception is not None:
            # What follows are the macros that led there.
            reason = str(outcome.exception).split("> in macro")[0]
            if isinstance(outcome.exception, UnicodeError):
                reason += " (dbt reads the project in the encoding of the locale: set PYTHONUTF8=1)"
            reason = " ".join(reason.split())
            raise RegimeError(f"dbt cannot {command} {self.project}: {reason}")
        return outcome.result


@contextlib.contextmanager
def _dbt(database: Database, progress: Progress, keeps_search_path: bool = True) -> Iterator[_Dbt]:
    """dbt on the connection's database; one at a time a database.

    progress: called with the nodes done, the nodes in all, and the name of one that begins or ends
    keeps_search_path: whether a search_path of a team's profile stays
    """
    settings = database.settings
    project = project_directory(settings)
    environment = libpq_environment(database) | settings.names
    builder = roles.builder_of(database)
    target = str(_target_directory(settings, project, environment))
    try:
        Path.home()
    except RuntimeError:
        # dbt asks for the home folder, even where it is told the profile's.
        environment["HOME"] = target
    with (
        database.locked(builder),
        _environment(environment),
        _our_sessions(database, builder, keeps_search_path) as handles,
    ):
        yield _Dbt(database, progress, target, handles)


def _runner(progress: Progress) -> "dbtRunner":
    """dbt's runner; the root logger keeps its handlers.

    On import, a library of dbt adds one, which would send other libraries' warnings to stderr.
    """
    handlers = list(logging.root.handlers)
    from dbt.cli.main import dbtRunner

    logging.root.handlers[:] = handlers
    finished: list[str] = []
    total = 0

    def report(event: "EventMsg") -> None:
        nonlocal total
        # dbt would wait for ever for a worker whose callback raised.
        with contextlib.suppress(Exception):
            if event.info.name == "LogStartLine":
                total = event.data.total
            elif event.info.name == "NodeFinished":
                finished.append(event.data.node_info.node_name)
            else:
                return
            progress(min(len(finished), total), total, event.data.node_info.node_name)

    return dbtRunner(callbacks=[report])


@contextlib.contextmanager
def interruptible(handles: list[Any]) -> Iterator[threading.Event]:
    """Around a call of dbt: an interruption ends the call and sets the event.

    dbt cancels its queries once, and then waits for ever for one that began at that moment, or
    takes no note of the interruption at all. So they are cancelled again until dbt has ended.
    """
    interrupted, ended = threading.Event(), threading.Event()

    def cancel() -> None:
        while not ended.wait(0.5):
            for handle in list(handles):
                with contextlib.suppress(Exception):
                    handle.cancel()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not interrupted.is_set():
            interrupted.set()
            threading.Thread(target=cancel, daemon=True).start()
        signal.default_int_handler(number, frame)

    is_usual = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_usual:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        ended.set()
        if is_usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _our_sessions(
    database: Database, builder: str | None, keeps_search_path: bool
) -> Iterator[list[Any]]:
    """Each connection that dbt opens is a session of ours, and acts as the builder.

    Gives the list of their handles, which grows.

    What dbt makes belongs to all who build, whoever of them it was. The role of a team's profile
    stays, and in a build its search_path.
    """
    from dbt.adapters.postgres.connections import PostgresConnectionManager as Manager
    from dbt_common.exceptions import DbtRuntimeError

    handles: list[Any] = []
    original = Manager.__dict__["open"]
    project = project_directory(database.settings)
    is_ours = _package_directory(project) == project

    def open_ours(manager: type[Manager], connection: "Connection") -> "Connection":
        was_open = connection.state == "open"
        opened = original.__func__(manager, connection)
        if was_open:
            return opened
        credentials, handle = opened.credentials, opened.handle
        role = builder if is_ours or not credentials.role else None
        version = database.connection.info.server_version
        kept = credentials.search_path if keeps_search_path else None
        settings = settings_statement(database.settings, version, kept)
        with handle.cursor() as cursor:
            cursor.execute(settings.as_string())
            if role:
                cursor.execute(sql.SQL("set role {}").format(sql.Identifier(role)).as_string())
            cursor.execute("select pg_backend_pid(), current_user")
            pid, user = cursor.fetchone()
        # A rollback would undo what was set.
        handle.commit()
        if role and user != role:
            raise DbtRuntimeError(f"dbt acts as {user}, although the role {role} was set")
        database.watch.pids.append(pid)
        handles.append(handle)
        return opened

    Manager.open = classmethod(open_ours)  # type: ignore[method-assign, assignment]
    try:
        yield handles
    finally:
        Manager.open = original  # type: ignore[method-assign]
        del database.watch.pids[1:]


def _project_objects(dbt: _Dbt, manifest: "Manifest") -> list[ProjectObject]:
    """Every table, view and function of the package, as dbt would build it now."""
    nodes = [
        node
        for node in (*manifest.nodes.values(), *manifest.functions.values())
        if (node.package_name == PROJECT_NAME or node.name == "regions")
        and node.resource_type in ("model", "seed", "function")
        and node.config.materialized != "ephemeral"
    ]
    written = [node for node in nodes if _kind(node) != "table"]
    selected = ["fqn:" + ".".join(node.fqn) for node in written]
    compiled = {
        result.node.unique_id: result.node.compiled_code or ""  # type: ignore[union-attr]
        for result in dbt.run(
            "compile", "--indirect-selection", "empty", "--no-populate-cache", "--select", *selected
        )
    }
    return [_project_object(node, compiled.get(node.unique_id, "")) for node in nodes]


def _kind(node: Any) -> str:
    if node.resource_type == "function":
        return "function"
    return "view" if "view" in node.config.materialized else "table"


def _project_object(node: Any, code: str) -> ProjectObject:
    kind, rows = _kind(node), None
    if kind == "view":
        definition = code
    elif kind == "function":
        definition = _function_statement(node, code)
    elif node.resource_type == "seed":
        definition, rows = _seed(node)
    else:
        definition = _columns_and_constraints(node)
    is_of_the_engine = node.resource_type == "seed" or "engine" in node.fqn[:-1]
    return ProjectObject(
        name=node.name,
        schema=node.schema,
        alias=node.alias,
        kind=kind,
        definition=definition,
        grants=node.config.grants,
        built_by="regime init" if is_of_the_engine else "regime pipeline",
        may_be_partitioned="partition_by=" in node.raw_code,
        rows=rows,
    )


def _columns_and_constraints(node: Any) -> str:
    """As dbt writes them between the parentheses of `create table`; "" without a contract."""
    from dbt.adapters.postgres.impl import PostgresAdapter

    if not node.config.contract.enforced:
        return ""
    described = node.to_dict(omit_none=True)
    columns = PostgresAdapter.render_raw_columns_constraints(described["columns"])
    return ", ".join(
        columns + PostgresAdapter.render_raw_model_constraints(described["constraints"])
    )


def _function_statement(node: Any, body: str) -> str:
    """As the macros scalar_function_create_replace_signature_sql and …_body_sql write it."""
    arguments = ", ".join(f"{each.name} {each.data_type}" for each in node.arguments)
    volatility = {"deterministic": "immutable", "stable": "stable"}
    return (
        f"create function {{name}} ({arguments}) returns {node.returns.data_type} "
        f"{volatility.get(node.config.volatility, 'volatile')} strict parallel safe "
        f"as $$\n{body}\n$$ language {node.config.meta.get('language', 'sql')}"
    )


def _seed(node: Any) -> tuple[str, list[dict[str, str | None]]]:
    """The columns of the table that dbt makes for a seed, and the rows of its file."""
    from dbt.adapters.postgres.impl import PostgresAdapter
    from dbt_common.clients import agate_helper

    types = node.config.column_types
    path = Path(node.root_path or "", node.original_file_path)
    table = agate_helper.from_csv(path, text_columns=types, delimiter=node.config.delimiter)
    inferred = {
        # dbt does not quote the names, unless it is told to.
        name if node.config.quote_columns else name.lower(): PostgresAdapter.convert_agate_type(
            table, place
        )
        for place, name in enumerate(table.column_names)
    }
    columns = ", ".join(f'"{name}" {kind}' for name, kind in (inferred | types).items())
    rows = [
        {
            name: None if value is None else str(value)
            for name, value in zip(inferred, row, strict=True)
        }
        for row in table.rows
    ]
    return columns, rows


def require_success(results: list[NodeResult], doing: str) -> None:
    """raises RegimeError naming the first node that failed and how many more did"""
    failures = [result for result in results if result.status in ("fail", "error")]
    if failures:
        first, *others = failures
        more = f" (and {len(others)} more)" if others else ""
        message = " ".join(first.message.split())
        if advice := advice_on_timeouts(message):
            message += f" ({advice})"
        raise RegimeError(f"{doing}: {first.resource_type} {first.name} failed{more}: {message}")


def project_directory(settings: Settings) -> Path:
    """The dbt project: REGIME_PROJECT_DIR, the checkout that this file lies in, or its copy inside
    the installed package."""
    package = Path(__file__).parent
    candidates = [package.parents[1], package / "dbt_project"]
    if settings.project_directory:
        candidates = [settings.project_directory]
    if found := next(filter(_package_directory, candidates), None):
        return found
    raise RegimeError(
        f"no dbt project named {PROJECT_NAME} in {candidates[0]}, nor one that has it as a package "
        "(`dbt deps`): set REGIME_PROJECT_DIR to the folder of its dbt_project.yml"
    )


def _package_directory(project: Path) -> Path | None:
    """The folder of this package's dbt project: the project itself, or a package of it."""
    for folder in (project, project / "dbt_packages" / PROJECT_NAME):
        with contextlib.suppress(OSError):
            if f"name: {PROJECT_NAME}\n" in _text(folder / "dbt_project.yml"):
                return folder
    return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _selection(project: Path, selector: str) -> list[str]:
    """dbt's arguments for a selector of this package's selectors.yml.

    dbt's own --selector would read the selectors of the team's project.
    """
    package = _package_directory(project) or project
    selectors = yaml.safe_load(_text(package / "selectors.yml"))["selectors"]
    (definition,) = (s["definition"]["union"] for s in selectors if s["name"] == selector)
    chosen = [_criterion(part) for part in definition if "exclude" not in part]
    excluded = [_criterion(p) for part in definition for p in part.get("exclude", [])]
    arguments = ["--indirect-selection", "buildable", "--select", *chosen]
    return [*arguments, "--exclude", *excluded] if excluded else arguments


def _criterion(part: dict[str, Any]) -> str:
    """A part of a selector's definition as dbt's command line writes it."""
    if "intersection" in part:
        return ",".join(map(_criterion, part["intersection"]))
    return f"{'+' if part.get('parents') else ''}{part['method']}:{part['value']}"


def _profiles(project: Path) -> list[str]:
    """Where the profile is: in our project's own folder, else in the team's project or, as dbt
    finds it by itself, by DBT_PROFILES_DIR or in ~/.dbt."""
    if _package_directory(project) == project:
        return ["--profiles-dir", str(project / "profiles")]
    if "DBT_PROFILES_DIR" not in os.environ and (project / "profiles.yml").exists():
        return ["--profiles-dir", str(project)]
    return []


def _require_names(results: list["RunResult"], database: str, settings: Settings) -> None:
    """raises RegimeError where dbt built in another database, or under a name that Python does not
    look for"""
    variables: dict[str, str] = {}
    difference = ""
    for node in sorted((result.node for result in results), key=lambda node: node.unique_id):
        if getattr(node, "database", database) != database:
            raise RegimeError(
                f"dbt's profile leads to database {node.database}, --database-url to {database}: "
                "make both name the same database"
            )
        if node.resource_type not in ("model", "seed") or node.name not in LAYER_OF:
            continue
        built = (node.schema, node.alias)  # type: ignore[union-attr]
        wanted = settings.table(node.name)
        if built == wanted:
            continue
        difference = difference or (
            f"dbt names {node.name} {'.'.join(built)}, but regime looks for {'.'.join(wanted)}"
        )
        if built[0] != wanted[0]:
            variables[f"REGIME_{LAYER_OF[node.name].upper()}_SCHEMA"] = built[0]
        if built[1] != wanted[1]:
            variables[f"{ALIAS}{node.name.upper()}"] = built[1]
    if difference:
        assignments = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())
        )
        raise RegimeError(f"{difference}: set {assignments}")


def _target_directory(settings: Settings, project: Path, environment: dict[str, str]) -> Path:
    """Where dbt keeps what it parsed: one folder a project and database, since dbt parses anew
    when either changes."""
    known = [str(project), *(v for k, v in sorted(environment.items()) if k != "PGPASSWORD")]
    name = hashlib.sha256("\0".join(known).encode()).hexdigest()[:16]
    target = settings.cache_directory / "dbt" / name
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegimeError(
            f"dbt cannot keep its files in {target} ({error.strerror}): set REGIME_STATE_DIR "
            "to a folder that you may write to"
        ) from error
    return target


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """The process's environment has these variables, and no other PG… variable than PG_BIN."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("PG") and name != "PG_BIN":
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _node_result(result: "RunResult", failures_table: tuple[str, str] | None = None) -> NodeResult:
    node = result.node
    return NodeResult(
        name=node.name,
        resource_type=str(node.resource_type),
        status=str(result.status),
        message=result.message or "",
        failures=result.failures or 0,
        description=getattr(node, "description", "") or "",
        query=getattr(node, "compiled_code", None) or "",
        failures_table=failures_table,
    )
