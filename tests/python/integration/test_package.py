"""The dbt package in a team's own project: examples/dbt_project, with schemas that follow the target,
prices of other names in another schema, and a model that refers to regime_timeline."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import environment, forked_path, refusal, succeed
from project import ROOT, change, run_in
from servers import MODULE_DATABASE
from stored import contents

from regime_engine import demo
from regime_engine.config import Settings
from regime_engine.database import Database, connect, libpq_environment
from regime_engine.prices.load import load_prices

pytestmark = pytest.mark.one_server

PAGE = ROOT / "docs/package.md"
LAYERS = ("historical", "runtime", "staging", "features", "audit")


def names(target_schema: str) -> dict[str, str]:
    schemas = {f"REGIME_{name.upper()}_SCHEMA": f"{target_schema}_{name}" for name in LAYERS}
    return schemas | {"REGIME_ALIAS_REGIMES": "market_regimes"}


BUILT = {
    "analytics_historical.numeric_window_embeddings",
    "analytics_runtime.market_regimes",
    "analytics_runtime.regime_transitions",
    "analytics_runtime.regime_models",
    "analytics_runtime.regime_revisions",
    "analytics_runtime.regime_runs",
    "analytics_runtime.audit_verdicts",
    "analytics_runtime.run_contents",
    "analytics_runtime.regime_locks",
    "analytics_runtime.regions",
    "analytics_runtime.current_regions",
    "analytics_runtime.regime_labels",
    "analytics_runtime.notifications",
    "analytics_runtime.notification_deliveries",
    "analytics_staging.prices_checked",
    "analytics_staging.stg_prices_daily",
    "analytics_staging.rejected_prices",
    "analytics_features.daily_features",
    "analytics_audit.market_days",
    "analytics_audit.regime_timeline",
    "analytics_research.returns_by_regime",
}

LIES = (
    "create schema liar",
    "create function liar.abs(double precision) returns double precision language sql as 'select 0.0'",
    "create function liar.never(text, text) returns boolean language sql as 'select false'",
    "create operator liar.<> (leftarg = text, rightarg = text, function = liar.never)",
    "create function liar.encode(bytea, text) returns text language sql as 'select null::text'",
)

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def team_settings(server) -> Iterator[Settings]:
    """A database with the table of a vendor's prices, under the vendor's names, and no more."""
    with server.database(MODULE_DATABASE) as settings:
        with connect(settings) as database:
            load_prices(database, demo.PRICE_FILES[0])
            database.execute("create schema vendor")
            database.execute(
                "create table vendor.eod_bars as select 'SPX' as ticker, trade_date as day, "
                "close as last, adjusted_close as adjusted_last, volume as shares, "
                "loaded_at as received_at from historical.prices_daily "
                "where trade_date between '2006-01-01' and '2009-12-31'"
            )
            database.execute("drop schema historical cascade")
        yield settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, which has the package of this checkout."""
    folder = tmp_path_factory.mktemp("team") / "acme"
    shutil.copytree(ROOT / "examples/dbt_project", folder, ignore=shutil.ignore_patterns(
        "dbt_packages", "target", "logs", "package-lock.yml"
    ))  # fmt: skip
    packages = folder / "packages.yml"
    packages.write_text(packages.read_text().replace("../..", str(ROOT)))
    return folder


@pytest.fixture(scope="module")
def run(team_settings: Settings, folder: Path) -> Run:
    """Run a program in the team's project."""
    with connect(team_settings) as database:
        env = environment(team_settings) | libpq_environment(database) | names("analytics")
    env |= {"PATH": forked_path(), "REGIME_PROJECT_DIR": str(folder), "NO_COLOR": "1"}

    def run(*command: str, **more: str) -> subprocess.CompletedProcess:
        done = run_in(folder, command, env | more)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def built(run: Run) -> None:
    """What docs/package.md tells a team to run has run."""
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    succeed(run("bash", "-euc", commands))


def relations(database: Database) -> dict[str, int]:
    """schema.name → oid of every table and view that is not the vendor's or Postgres's."""
    return dict(
        database.rows(
            "select relnamespace::regnamespace || '.' || relname, oid from pg_class "
            "where relkind in ('r', 'p', 'v', 'm') and relnamespace::regnamespace::text "
            "not in ('pg_catalog', 'information_schema', 'vendor')"
        ).rows
    )


def test_a_team_builds_on_the_package_and_gets_what_it_asked_for(team_settings, run, built):
    with connect(team_settings) as database:
        present = relations(database)
        assert set(present) == BUILT
        functions = (
            "select proname from pg_proc where pronamespace::regnamespace::text ~ '^analytics'"
        )
        assert set(database.rows(functions).rows) == {("market_of",), ("regimes_of",)}
        days = database.one(
            "select sum(trading_days), min(region) from analytics_research.returns_by_regime"
        )
        # Every day from the 63rd price on.
        assert days == (database.one("select count(*) - 62 from vendor.eod_bars")[0], "AMERICA")
        before = contents(database, relations(database))

        succeed(run("dbt", "build"))
        assert contents(database, relations(database)) == before
        # The team's own model alone is a table that dbt makes anew, as dbt's own views are.
        kept = present.keys() - {"analytics_research.returns_by_regime"}
        assert {n: relations(database)[n] for n in kept} == {n: present[n] for n in kept}


def test_regime_builds_and_audits_the_teams_project(team_settings, folder, run, built):
    succeed(run("regime", "pipeline", "--region", "AMERICA"))
    assert succeed(run("regime", "explain", "--region", "AMERICA")).stdout.startswith(
        "AMERICA on 2009-12-31"
    )
    done = run("regime", "matrix", "--region", "AMERICA")
    assert done.returncode == 1
    assert "unless your dbt project leaves them out" in done.stderr
    with connect(team_settings) as database:
        assert set(relations(database)) - {"analytics_research.returns_by_regime"} <= BUILT
        database.execute(
            "update analytics_runtime.market_regimes set confidence = 0.25 "
            "where as_of_date = '2009-12-31'"
        )
        for statement in LIES:
            database.execute(statement)
    # The audit does not look functions up where the profile says.
    change(folder / "profiles.yml", "threads:", "search_path: liar\n      threads:")
    done = run("regime", "audit")
    change(folder / "profiles.yml", "search_path: liar\n      threads:", "threads:")
    assert done.returncode == 1
    assert "2009-12-31" in done.stdout


def test_a_name_that_dbt_and_regime_do_not_share_is_told(folder, run, built):
    project = folder / "dbt_project.yml"
    text = project.read_text()
    project.write_text(
        text.replace(
            "  regime_engine:\n    audit:",
            "  regime_engine:\n    engine:\n      +schema: quant\n    audit:",
        )
    )
    done = run("regime", "init")
    project.write_text(text)
    assert done.returncode == 1
    assert "quant." in done.stderr
    assert " REGIME_RUNTIME_SCHEMA=analytics_quant\n" in done.stderr


def test_another_target_has_its_own_tables_here_from_a_model_of_prices(
    team_settings, folder, run, built
):
    (folder / "models/acme_bars.sql").write_text("select * from vendor.eod_bars where last > 0")
    project = folder / "dbt_project.yml"
    change(project, "    schemas: target\n", "    schemas: target\n    prices_model: acme_bars\n")
    with connect(team_settings) as database:
        before = contents(database, relations(database))
        succeed(run("dbt", "build", "--target", "dev"))
        refused = refusal(run("regime", "init", DBT_TARGET="dev"))
        assert "regime looks for analytics_" in refused
        assert refused.endswith(
            "REGIME_HISTORICAL_SCHEMA=dev_historical REGIME_RUNTIME_SCHEMA=dev_runtime"
        )
        succeed(run("regime", "pipeline", DBT_TARGET="dev", **names("dev")))

        present = {n for n in relations(database) if not n.startswith("dev_audit_failures.")}
        own = {name.replace("analytics_", "dev_") for name in BUILT}
        assert present - before.keys() == own | {"dev_research.acme_bars"}
        assert contents(database, before) == before
        compared = "select count(*), sum(feature_hash) from {}_features.daily_features"
        assert database.one(compared.format("dev")) == database.one(compared.format("analytics"))
