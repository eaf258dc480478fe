"""The phases of a nightly job: dbt features, the engine, the dbt audit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from psycopg import sql

from regime_engine import dbt, features, roles, seals, seeds
from regime_engine.config import ENGINE_TABLES
from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.dbt import NodeResult
from regime_engine.engine import catalog, classify, failures, fit, vote
from regime_engine.engine.classify import Outcome
from regime_engine.engine.failures import Finding
from regime_engine.engine.fit import Recipe, WalkForward, Warn, no_warning
from regime_engine.errors import RegimeError
from regime_engine.seals import Verdict
from regime_engine.series import Series

# Instruments that a message names.
MOST_SHOWN = 5

# The audit's tests that say whether a run and its rows are what its seal is over → the column that
# names the run.
SEALED_BY = {
    "runs_are_as_they_were_recorded": "run_id",
    "runs_are_sealed": "run_id",
    "runs_wrote_what_they_sealed": "run_id",
    "embeddings_are_as_they_were_encoded": "run_id",
    "regimes_are_as_they_were_classified": "run_id",
    "models_are_as_they_were_fitted": "run_id",
    "revisions_are_as_they_were_recorded": "new_run_id",
}


def initialise(database: Database, progress: dbt.Progress = dbt.no_progress) -> None:
    """Create or upgrade schemas, engine tables and seeds.

    raises RegimeError if the tables are of a version whose rows cannot be kept
    """
    _require_no_older_tables(database)
    dbt.require_success(dbt.build(database, "engine_tables", progress), "init")


def _require_no_older_tables(database: Database) -> None:
    """raises RegimeError if an older version of this package created the engine tables

    Their rows have no seals, and their embeddings another hash, which nobody can add afterwards.
    """
    older = (
        "select 1 from pg_attribute where attrelid = to_regclass(%s) and attname = 'vector_hash'"
    )
    if not database.first(older, [database.table("numeric_window_embeddings").as_string()]):
        return
    tables = ", ".join(database.table(name).as_string() for name in ENGINE_TABLES)
    raise RegimeError(
        "an older version of regime-engine created the engine tables of this database, without "
        f"seals: remove them with `drop table {tables} cascade`, run `regime init`, and write them "
        "again with `regime pipeline --walk-forward`"
    )


def build_features(
    database: Database, progress: dbt.Progress = dbt.no_progress
) -> list[NodeResult]:
    """Seeds, staging, daily_features and the engine tables; returns the warnings."""
    _require_no_older_tables(database)
    results = dbt.build(database, "features", progress)
    prices = f"{database.settings.historical_schema}.prices_daily"
    if any(f'relation "{prices}" does not exist' in result.message for result in results):
        raise RegimeError(f"there is no table {prices}: load prices with `regime load FILE`")
    dbt.require_success(results, "building the features")
    return [result for result in results if result.status == "warn"]


def in_words(database: Database, warning: NodeResult) -> str:
    """A warning of a build; of prices that staging refuses it names the instruments."""
    if not warning.name.startswith("is_empty_rejected_prices"):
        return f"{warning.name}: {warning.message}"
    query = sql.SQL(warning.query.strip())
    counts = database.rows(
        "select instrument_id, count(*) from (\n{query}\n) as refused"
        " group by 1 order by 2 desc, 1",
        query=query,
    ).rows
    named = ", ".join(f"{count:,} of {name}" for name, count in counts[:MOST_SHOWN])
    more = len(counts) - MOST_SHOWN
    return (
        f"staging refuses {sum(count for _, count in counts):,} prices: {named}"
        + (f" and those of {more:,} more instruments" if more > 0 else "")
        + f", see: {query.as_string(database.connection)};"
    )


def audit(
    database: Database, rows_shown: int = 20, progress: dbt.Progress = dbt.no_progress
) -> tuple[list[NodeResult], list[Finding]]:
    """All results of the audit phase, and what its failed and warning tests found.

    raises RegimeError where a test could not be run at all, or the login may not keep what it finds
    """
    _require_failures_can_be_kept(database)
    # No other audit may replace the failures meanwhile.
    with database.locked(roles.builder_of(database)):
        tested = dbt.test(database, "audit", progress)
        faults = catalog.faults(database, tested.objects)
        broken = [result for result in tested.results if result.status == "error"]
        if broken:
            _require_relations(database, tested.results)
            _require_objects(faults)
        dbt.require_success(broken, "the audit could not be carried out (was `regime init` run?)")
        results = [_of_objects(database, faults, tested.results), *tested.results]
        return results, failures.keep(database, results, rows_shown)


def verify_seals(
    database: Database, kept: Mapping[int, str], results: list[NodeResult]
) -> list[Verdict]:
    """Whether each seal that was kept outside holds. kept: number → seal; results: of the audit"""
    if not kept:
        return []
    failed = {result.name: result for result in results if result.status == "fail"}
    if catalog.NAME in failed:
        fault = f"the objects that it is computed from were changed, see {catalog.NAME}"
        return [Verdict(number, fault) for number in sorted(kept)]
    faulty = [
        _first_faulty_run(database, failed[name], run_id)
        for name, run_id in SEALED_BY.items()
        if name in failed
    ]
    return seals.verify(database, kept, min(filter(None, faulty), default=None))


def _first_faulty_run(database: Database, test: NodeResult, run_id: str) -> tuple[int, str] | None:
    """The number and the fault of the first sealed run whose rows a test names.

    run_id: the test's column that names the run
    """
    first = database.first(
        statement(__package__, "first_faulty_run"),
        query=sql.SQL(test.query.strip()),
        run_id=sql.Identifier(run_id),
    )
    if first is None:
        return None
    number, command, finished_at = first
    return number, (
        f"the first run that is not as it was is run {number} (`regime {command}`, ended "
        f"{finished_at:%Y-%m-%d %H:%M:%S} UTC), see {test.name}"
    )


def _require_relations(database: Database, results: list[NodeResult]) -> None:
    """raises RegimeError naming what the audit's test of the project's relations did not find"""
    for result in results:
        if result.name == "relations_exist" and result.status == "fail":
            missing = database.execute(sql.SQL(result.query.strip()))
            rows = [(f"{schema}.{name}", command) for schema, name, _, command in missing]
            names = sorted(name for name, _ in rows)
            more = f" and {len(names) - 9} more" if len(names) > 9 else ""
            commands = " and then ".join(sorted({f"`{command}`" for _, command in rows}))
            raise RegimeError(
                "the audit could not be carried out: the database lacks "
                f"{', '.join(names[:9])}{more}: run {commands}"
            )


def _require_objects(faults: Sequence[catalog.Fault]) -> None:
    """raises RegimeError naming the first object that is not as the project builds it"""
    if faults:
        first, *others = faults
        more = f" (and {len(others)} more faults)" if others else ""
        raise RegimeError(
            f"the audit could not be carried out: {first.kind} {first.object} {first.fault} "
            f"{first.found}: {first.what_to_run}{more}"
        )


def _of_objects(
    database: Database, faults: Sequence[catalog.Fault], tests: list[NodeResult]
) -> NodeResult:
    """The comparison of the database's objects, as one more test, kept where the others are."""
    tables = [test.failures_table for test in tests if test.failures_table]
    return NodeResult(
        name=catalog.NAME,
        resource_type="test",
        status="fail" if faults else "pass",
        message="",
        failures=len(faults),
        description=catalog.DESCRIPTION,
        query=catalog.as_query(faults).as_string(database.connection),
        failures_table=(tables[0][0], catalog.NAME) if tables else None,
    )


def regions_with_prices(database: Database) -> tuple[list[str], dict[str, str]]:
    """The regions to classify, and those without prices: region → its instrument.

    A region that has regimes is classified, so that it is an error if its prices are gone.

    raises RegimeError if there is nothing to classify
    """
    known = seeds.regions(database)
    without = {
        region.region: region.instrument_id
        for region in known.values()
        if not seeds.has_prices(database, region.instrument_id)
        and not database.first("select 1 from {regimes} where region = %s limit 1", [region.region])
    }
    classified = [name for name in known if name not in without]
    if not classified:
        raise RegimeError(_no_region(database, without))
    return classified, without


def _no_region(database: Database, without: dict[str, str]) -> str:
    names = ", ".join(f"{region} ({instrument_id})" for region, instrument_id in without.items())
    rows = database.execute(
        "select name from ({instruments}) as found limit {most}",
        instruments=features.instruments_query(database),
        most=sql.Literal(MOST_SHOWN + 1),
    )
    priced = [instrument_id for (instrument_id,) in rows]
    more = " …" * (len(priced) > MOST_SHOWN)
    return (
        (f"no region has prices: {names}" if without else "there is no region")
        + (f"; there are prices of {', '.join(priced[:MOST_SHOWN])}{more}" if priced else "")
        + ": make an instrument a region with `regime region add NAME --instrument-id ID`"
        + ("" if priced or not without else ", or load prices of these with `regime load`")
    )


def classify_regions(
    database: Database,
    model_id: str,
    window_days: int,
    progress: Callable[[str], Callable[[int, int], None]],
    regions: Iterable[str],
    schedule: WalkForward | None = None,
    warn: Warn = no_warning,
) -> tuple[list[Outcome], dict[str, RegimeError]]:
    """Backfill each region over its whole history, so that restated prices are followed too.

    A region that cannot be classified does not stop the others; its error is returned.
    progress: what is done → a callback of how many are done and how many there are
    schedule: store the Markov versions that are due first, and begin with the first of them
    warn: called with each line for the user
    """
    outcomes: list[Outcome] = []
    errors: dict[str, RegimeError] = {}
    for region in regions:
        series = Series(region, model_id, window_days)
        try:
            begins = [_first_date(database, series)]
            if schedule:
                fitting = progress(f"fitting {region}")
                versions = fit.walk_forward(
                    database, series, Recipe(), schedule, progress=fitting, warn=warn
                )
                begins.append(versions[0].valid_from)
                for line in fit.doubts(versions[-1:]):
                    warn(line)
            start = min(filter(None, begins), default=None)
            classifying = progress(f"classifying {region}")
            outcomes.append(classify.backfill(database, series, start, progress=classifying))
        except RegimeError as error:
            errors[region] = error
    return outcomes, errors


def _first_date(database: Database, series: Series) -> date | None:
    """The first day of a series' stored regimes."""
    query = """
        select min(as_of_date)
        from {regimes}
        where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
    """
    return database.one(query, vars(series))[0]


def vote_if_wanted(database: Database, model_id: str, window_days: int) -> Outcome | None:
    """The vote of the regions, None where nobody asked for it."""
    return vote.vote(database, model_id, window_days) if vote.is_wanted(database) else None


def _require_failures_can_be_kept(database: Database) -> None:
    found = database.first(
        "select current_user, has_schema_privilege(oid, 'CREATE')"
        " from pg_namespace where nspname = %s",
        [database.settings.failures_schema],
    )
    login, may_create = found or ("", True)
    if not may_create and not roles.builder_of(database):
        raise RegimeError(
            f"the login {login} may not keep what an audit finds: run it as a member of "
            f"{roles.BUILDER}, or read what the last one found in the schema "
            f"{database.settings.failures_schema}"
        )
