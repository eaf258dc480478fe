"""The only file that knows dbt: builds and tests the project in this process.

The project is this package's own, or a team's that has it installed as a dbt package."""

import contextlib
import hashlib
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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
    from dbt_common.events.base_types import EventMsg

PROJECT_NAME = "regime_engine"

Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed or test.

    status: success, pass, warn, fail, error or skipped, as dbt says it
    query: a test's SQL; its rows are the offending ones
    failures_table: (schema, name) of the table that keeps those rows; None where none does
    """

    name: str
    resource_type: str
    status: str
    message: str
    failures: int
    description: str
    query: str
    failures_table: tuple[str, str] | None


def no_progress(done: int, total: int, name: str) -> None:
    """Shows nothing."""


def build(database: Database, selector: str, progress: Progress = no_progress) -> list[NodeResult]:
    """Models and seeds of a selector of selectors.yml, each with its tests, in order of lineage."""
    return _invoke(database, "build", selector, progress)


def test(
    database: Database,
    selector: str,
    progress: Progress = no_progress,  # noqa: PT028 (no test of pytest)
) -> list[NodeResult]:
    """Every test of a selector; a build skips those of a model that depends on a failed one."""
    return _invoke(database, "test", selector, progress)


def _invoke(
    database: Database, command: str, selector: str, progress: Progress
) -> list[NodeResult]:
    """Run dbt on the connection's database; one at a time a database.

    progress: called with the nodes done, the nodes in all, and the name of one that begins or ends
    raises RegimeError where dbt could not begin, the selector matches nothing, or dbt's names are
    not those of the settings
    """
    settings = database.settings
    project = project_directory(settings)
    environment = libpq_environment(database) | settings.names
    builder = roles.builder_of(database)
    target = str(_target_directory(settings, project, environment))
    arguments = [command, *_selection(project, selector), *_profiles(project)]
    arguments += ["--project-dir", str(project), "--target-path", target, "--log-path", target]
    arguments += ["--log-level", "none", "--log-level-file", "none", "--no-use-colors"]
    arguments += ["--no-version-check", "--no-write-json"]

    try:
        Path.home()
    except RuntimeError:
        # dbt asks for the home folder, even where it is told the profile's.
        environment["HOME"] = target
    with database.locked(builder), _environment(environment), _our_sessions(database, builder):
        outcome = _runner(progress).invoke(arguments)
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    if outcome.exception is not None:
        # What follows are the macros that led there.
        reason = str(outcome.exception).split("> in macro")[0]
        if isinstance(outcome.exception, UnicodeError):
            reason += " (dbt reads the project in the encoding of the locale: set PYTHONUTF8=1)"
        raise RegimeError(f"dbt cannot {command} {project}: {' '.join(reason.split())}")
    executed: list[RunResult] = outcome.result.results  # type: ignore[union-attr, assignment]
    # A hook of the project is reported only if it failed.
    results = [
        result
        for result in executed
        if result.node.resource_type != "operation" or result.status != "success"
    ]
    if not results:
        raise RegimeError(f"dbt selector {selector} matches nothing in {project}")
    _require_names(results, database.connection.info.dbname, settings)
    return [_node_result(result) for result in results]


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
def _our_sessions(database: Database, builder: str | None) -> Iterator[None]:
    """Each connection that dbt opens is a session of ours, and acts as the builder.

    What dbt makes belongs to all who build, whoever of them it was. The role of a team's profile
    and its search_path stay.
    """
    from dbt.adapters.postgres.connections import PostgresConnectionManager as Manager
    from dbt_common.exceptions import DbtRuntimeError

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
        settings = settings_statement(database.settings, version, credentials.search_path)
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
        return opened

    Manager.open = classmethod(open_ours)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Manager.open = original  # type: ignore[method-assign]
        del database.watch.pids[1:]


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


def _node_result(result: "RunResult") -> NodeResult:
    node = result.node
    table = (node.schema, node.alias)  # type: ignore[union-attr]  # a source has no result
    is_kept = node.resource_type == "test" and getattr(node, "should_store_failures", False)
    return NodeResult(
        name=node.name,
        resource_type=str(node.resource_type),
        status=str(result.status),
        message=result.message or "",
        failures=result.failures or 0,
        description=getattr(node, "description", "") or "",
        query=getattr(node, "compiled_code", None) or "",
        failures_table=table if is_kept else None,
    )
