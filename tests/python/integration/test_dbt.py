"""The dbt project: from a shell and from Python, on odd schemas and a team's own table."""

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from bundled import US_V1 as US
from commands import environment, forked_path, succeed
from project import ROOT, change, copy_project, run_in
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from stored import ENGINE_TABLES, FEATURES, contents

from regime_engine import dbt, demo, encoders
from regime_engine.config import LAYER_OF, Settings
from regime_engine.database import Database, connect
from regime_engine.engine import catalog, classify, nightly
from regime_engine.errors import RegimeError
from regime_engine.prices.load import load_prices
from regime_engine.reading.forecast import forecast

pytestmark = pytest.mark.one_server

START, END = date(2008, 6, 2), date(2008, 12, 31)
BUILT_TABLES = ENGINE_TABLES | {FEATURES}

Shell = Callable[..., subprocess.CompletedProcess]


def shell_environment(target: Path) -> dict[str, str]:
    return {
        "PATH": forked_path(),
        "HOME": str(target),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "NO_COLOR": "1",
    }


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run lines in a shell that `regime db env` has set up, as the README says to."""

    def run(settings: Settings, lines: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
        name = conninfo_to_dict(settings.database_url)["dbname"]
        env = {name: value for name, value in environment(settings).items() if name != "PATH"}
        script = f'eval "$(regime db env)"; export PGDATABASE={name}; {lines}'
        return run_in(folder, ["bash", "-c", script], env | shell_environment(tmp_path))

    return run


def results(target: Path) -> dict[str, str]:
    """unique id → status of the last dbt command."""
    nodes = json.loads((target / "run_results.json").read_text())["results"]
    return {node["unique_id"]: node["status"] for node in nodes}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess:
    target = tmp_path_factory.mktemp("parsed")
    parsing = run_in(
        ROOT,
        ["dbt", "parse", "--profiles-dir", "profiles", "--show-all-deprecations"],
        shell_environment(target) | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    parsing.args.append(target)
    return parsing


@pytest.fixture(scope="module")
def manifest(parsed) -> dict:
    return json.loads((parsed.args[-1] / "manifest.json").read_text())


def load_bundled_prices(database: Database) -> None:
    for path in demo.PRICE_FILES:
        load_prices(database, path)


def schemas(database: Database) -> set[str]:
    found = database.execute("select nspname from pg_namespace where nspname !~ '^pg_'")
    return {name for (name,) in found} - {"information_schema", "public"}


def test_dbt_builds_and_tests_everything_from_a_shell(empty_settings, shell, tmp_path, manifest):
    with connect(empty_settings) as database:
        load_bundled_prices(database)
    succeed(shell(empty_settings, "dbt build --profiles-dir profiles"))
    assert set(results(tmp_path).values()) == {"success", "pass", "no-op"}
    everything = {"nodes", "unit_tests", "exposures", "functions"}
    assert set(results(tmp_path)) == {
        name for kind in everything for name, node in manifest[kind].items() if is_run(node)
    }

    fresh = succeed(shell(empty_settings, "dbt source freshness --profiles-dir profiles"))
    assert "PASS freshness of historical.prices_daily" in fresh.stdout


def relations(database: Database) -> dict[str, tuple]:
    """Every table and view but those of what a test found → what changes if it is made again."""
    return {
        name: state
        for name, *state in database.rows(
            "select oid::regclass::text, oid, relowner, relacl::text from pg_class"
            " where relkind in ('r', 'v') and relnamespace > 16383"
            " and relnamespace::regnamespace::text <> 'audit_failures'"
        ).rows
    }


def test_a_full_refresh_rebuilds_features_and_seeds_and_drops_nothing(database, settings, shell):
    classify.backfill(database, US, START, END)
    seeds = {"runtime.regions", "runtime.regime_labels"}
    before = contents(database, BUILT_TABLES | seeds)
    assert before["runtime.regimes"]
    database.execute("create view public.returns as select log_return from features.daily_features")
    database.execute("create view public.severe as select label from runtime.regime_labels")
    database.execute("grant select on features.daily_features, runtime.regions to pg_monitor")
    database.execute("update features.daily_features set log_return = 1, feature_hash = 0")
    database.execute("update runtime.regime_labels set severity = 9")
    present = relations(database)
    succeed(shell(settings, "dbt build --full-refresh --profiles-dir profiles"))
    assert contents(database, BUILT_TABLES | seeds) == before
    assert relations(database) == present
    assert len(present) > 25


def test_a_full_refresh_sets_the_columns_or_names_the_views_in_its_way(database, settings, shell):
    before = contents(database, {FEATURES})
    database.execute("alter table features.daily_features add column old text")
    database.execute("alter table features.daily_features alter column feature_hash drop not null")
    database.execute("alter table runtime.regime_labels add column old text")
    database.execute("alter table runtime.regime_labels drop column severity cascade")
    database.execute("create view public.mine as select old from features.daily_features")
    database.execute("drop view audit.market_days cascade")
    database.execute("create view audit.market_days as select old from features.daily_features")
    changed = contents(database, {FEATURES})
    refresh = "dbt run --full-refresh --profiles-dir profiles --select daily_features"
    done = shell(settings, f"{refresh}+")
    assert done.returncode == 1
    assert "drop public.mine first" in done.stdout
    # All rows were deleted by then.
    assert contents(database, {FEATURES}) == changed

    database.execute("drop view public.mine")
    done = shell(settings, refresh)
    assert "drop audit.market_days first, or build the views of this project" in done.stdout
    succeed(shell(settings, f"{refresh}+; dbt seed --full-refresh --profiles-dir profiles"))
    assert contents(database, {FEATURES}) == before
    assert database.rows(
        "select attname, attnotnull from pg_attribute"
        " where attrelid = 'features.daily_features'::regclass and attname in ('old', 'feature_hash')"
    ).rows == [("feature_hash", True)]
    assert database.one("select max(severity) from runtime.regime_labels") == (3,)
    assert database.one("select count(drawdown) > 0 from audit.market_days") == (True,)


def test_an_empty_build_of_a_new_database_makes_every_table(empty_settings, shell):
    with connect(empty_settings) as database:
        load_bundled_prices(database)
        succeed(shell(empty_settings, "dbt build --empty --profiles-dir profiles"))
        assert not any(contents(database, BUILT_TABLES).values())


def test_an_empty_build_of_a_filled_database_deletes_nothing(database, settings, shell):
    classify.backfill(database, US, START, END)
    before = contents(database, BUILT_TABLES)
    assert before["features.daily_features"]
    succeed(shell(settings, "dbt build --empty --full-refresh --profiles-dir profiles"))
    assert contents(database, BUILT_TABLES) == before
    # Nor does a function forget which tables it reads.
    assert forecast(database, US, [5]).rows
    nightly.build_features(database)
    assert contents(database, BUILT_TABLES) == before


def test_parsing_warns_of_nothing(parsed):
    assert parsed.returncode == 0
    assert "warn" not in (parsed.stdout + parsed.stderr).lower()
    assert "deprecat" not in (parsed.stdout + parsed.stderr).lower()


def test_the_features_phase_is_all_but_the_tests_of_what_the_engine_writes(database, manifest):
    expected = {
        node["name"]
        for node in [*manifest["nodes"].values(), *manifest["functions"].values()]
        if (node["resource_type"] in ("model", "seed", "function") and is_run(node))
        or (node["resource_type"] == "test" and not is_of_the_engine(node))
    }
    built = dbt.build(database, "features")
    assert {node.name for node in built} == expected
    assert {node.status for node in built} <= {"success", "pass"}
    assert not any(contents(database, ENGINE_TABLES).values())


def test_the_audit_leaves_out_no_test_of_what_the_engine_writes(database, manifest):
    expected = {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and is_of_the_engine(node)
    }
    singular = {path.stem for path in (ROOT / "tests/dbt/audit").glob("*.sql")}
    assert singular < expected
    classify.backfill(database, US, START, END)
    results, findings = nightly.audit(database)
    assert {result.name for result in results} == expected | {catalog.NAME}
    assert findings == []


def is_run(node: dict) -> bool:
    """An ephemeral model is a part of the queries that read it."""
    return node["config"].get("materialized") != "ephemeral"


def is_of_the_engine(test: dict) -> bool:
    return test["original_file_path"].startswith("tests/dbt/audit/") or any(
        parent.removeprefix("model.regime_engine.") in {t.split(".")[1] for t in ENGINE_TABLES}
        for parent in test["depends_on"]["nodes"]
    )


def test_init_makes_the_engine_tables_without_prices_and_a_second_changes_nothing(empty_settings):
    def state(database):
        catalog = """
            select pg_class.oid, relname, relfilenode, relnatts, obj_description(pg_class.oid)
            from pg_class
            inner join pg_namespace on pg_namespace.oid = relnamespace
            where nspname in ('historical', 'runtime') and relname not in ('regions', 'regime_labels')
            order by 1
        """
        seeds = contents(database, {"runtime.regions", "runtime.regime_labels"})
        return database.rows(catalog).rows, seeds, schemas(database)

    with connect(empty_settings) as database:
        nightly.initialise(database)
        first = state(database)
        assert not any(contents(database, ENGINE_TABLES).values())
        assert len(first[1]["runtime.regime_labels"]) == 4
        nightly.initialise(database)
        assert state(database) == first
        assert first[2] == {"historical", "runtime"}


def test_schemas_and_tables_of_any_name_work_for_dbt_and_python_alike(empty_settings, shell):
    """Each name by hand: a missing one would leave a table under its usual name."""
    odd = replace(
        empty_settings,
        historical_schema="Hist 1",
        runtime_schema="Läufe-2",
        staging_schema="an_staging",
        features_schema="an_features",
        audit_schema="an_audit",
        aliases={"stg_prices_daily": "px", "daily_features": "Features", "regimes": "my regimes"}
        | {name: f"{name}_x" for name in LAYER_OF if name.startswith(("regime_", "num", "regions"))}
        | {"regime_timeline": "timeline"},
    )
    with connect(odd) as database:
        load_bundled_prices(database)
        assert nightly.build_features(database) == []
        classify.backfill(database, US, START, END)
        assert nightly.audit(database)[1] == []
        names = {"Hist 1", "Läufe-2", "an_staging", "an_features", "an_audit", "an_audit_failures"}
        assert schemas(database) == names
        found = database.rows(
            "select nspname || '.' || relname from pg_class"
            " inner join pg_namespace on pg_namespace.oid = relnamespace"
            " where relkind in ('r', 'v') and nspname = any(%s)"
            " and nspname not in ('an_audit', 'an_audit_failures')",
            [list(names)],
        ).rows
        assert {name for (name,) in found} == {
            *("Hist 1.prices_daily", "Hist 1.prices_daily_refused"),
            "Hist 1.numeric_window_embeddings_x",
            "Läufe-2.audit_verdicts",
            *("an_staging.px", "an_staging.prices_checked", "an_staging.rejected_prices"),
            "an_features.Features",
            *("Läufe-2.my regimes", "Läufe-2.regime_transitions_x", "Läufe-2.regime_models_x"),
            *("Läufe-2.regime_revisions_x", "Läufe-2.regime_runs_x", "Läufe-2.regime_locks_x"),
            *(
                "Läufe-2.regions_x",
                "Läufe-2.current_regions",
                "Läufe-2.run_contents",
                "Läufe-2.regime_labels_x",
                "Läufe-2.notifications",
                "Läufe-2.notification_deliveries",
            ),
        }
        days = "select count(*) from an_audit.timeline where not is_missing"
        assert database.one(days) == (149,)
        exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in odd.names.items())
        succeed(shell(odd, f"export {exported}; regime run --region US --as-of 2009-01-30"))
        assert schemas(database) == names
        last = database.one('select max(as_of_date) from "Läufe-2"."my regimes"')
        assert last == (date(2009, 1, 30),)


def test_a_teams_own_table_is_read_by_the_names_that_a_var_gives(
    empty_settings, tmp_path, shell, monkeypatch
):
    project = copy_project(tmp_path)
    change(
        project / "dbt_project.yml",
        """
    instrument_id: instrument_id
    trade_date: trade_date
    close: close
    adjusted_close: adjusted_close
    volume: volume
    currency: currency
    loaded_at: loaded_at
""",
        """
    instrument_id: Ticker
    trade_date: Trading Day
    close: last
    adjusted_close: ""
    volume: shares
""",
    )
    # The name of open stays, and the table has no such column.
    change(
        project / "dbt_project.yml",
        "    high: high\n    low: low\n",
        "    high: Top\n    low: floor\n",
    )
    settings = replace(empty_settings, project_directory=project)
    with connect(settings) as database:
        database.execute("create schema historical")
        database.execute(
            'create table historical.prices_daily ("Ticker" varchar(20), "Trading Day" timestamp,'
            ' last numeric(12, 4), shares bigint, close text, "Top" numeric(12, 4), floor float4)'
        )
        database.execute(
            "insert into historical.prices_daily"
            " select 'GSPC.INDX', day, 1000 + extract(doy from day), 1000000, 'not a number',"
            " 2000, 1000"
            " from generate_series(now() at time zone 'UTC' - '100 days'::interval,"
            " now() at time zone 'UTC', '1 day') as day"
        )
        assert nightly.build_features(database) == []
        found = database.one(
            "select count(*), bool_and(adjusted_close = close), bool_and(volume = 1000000),"
            " bool_and(adjusted_log_return is not distinct from log_return),"
            " max(trade_date) = (now() at time zone 'UTC')::date,"
            " bool_and(log_range = ln(2::float)), bool_and(overnight_gap is null)"
            " from features.daily_features where instrument_id = 'GSPC.INDX'"
        )
        assert found == (101, True, True, True, True, True, True)
        outcome = classify.backfill(database, US)
        assert outcome.n_windows == 101 - 62
        assert nightly.audit(database)[1] == []

        monkeypatch.setenv("REGIME_FEATURES_CHANGES", "loaded")
        with pytest.raises(RegimeError, match="needs the column of load times"):
            nightly.build_features(database)
        database.execute(
            "delete from historical.prices_daily"
            """ where "Trading Day" > now() at time zone 'UTC' - '5 days'::interval"""
        )
        freshness = "dbt source freshness --profiles-dir profiles"
        stale = succeed(shell(settings, freshness, folder=project))
        assert "WARN freshness of historical.prices_daily" in stale.stdout


def test_a_new_column_of_an_engine_table_is_appended_and_the_rows_stay(
    database, settings, tmp_path
):
    classify.backfill(database, US, START, END)
    before = contents(database, ENGINE_TABLES)["runtime.regimes"]
    project = copy_project(tmp_path)
    change(
        project / "models/engine/regimes.sql",
        "    null::timestamp with time zone as created_at\n",
        "    null::timestamp with time zone as created_at,\n    null::text as reviewer\n",
    )
    model = project / "models/engine/_engine.yml"
    described = yaml.safe_load(model.read_text())
    (regimes,) = [model for model in described["models"] if model["name"] == "regimes"]
    regimes["columns"].append(
        {"name": "reviewer", "data_type": "text", "description": "Who looked at the row."}
    )
    model.write_text(yaml.safe_dump(described))

    nightly.initialise(replace(database, settings=replace(settings, project_directory=project)))
    after = contents(database, ENGINE_TABLES)["runtime.regimes"]
    assert after == [row.removesuffix(")") + ",)" for row in before]
    classify.backfill(database, US, END, date(2009, 1, 30))
    assert len(contents(database, ENGINE_TABLES)["runtime.regimes"]) > len(after)


def test_every_table_and_column_is_described(manifest):
    described = [
        node
        for node in [*manifest["nodes"].values(), *manifest["sources"].values()]
        if node["resource_type"] in ("model", "seed", "source")
    ]
    assert len(described) >= 13
    for node in described:
        assert node["description"], node["name"]
        assert node["columns"]
        for column in node["columns"].values():
            assert column["description"], f"{node['name']}.{column['name']}"
    for test in manifest["nodes"].values():
        if test["original_file_path"].endswith(".sql") and test["resource_type"] == "test":
            assert test["description"], test["name"]


def test_the_descriptions_are_in_postgres(database, manifest):
    """Every column that there is: one that its yml left out has no comment either."""
    relations = database.rows(
        "select pg_class.oid, nspname || '.' || relname, obj_description(pg_class.oid)"
        " from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace"
        " where relkind in ('r', 'v') and nspname in ('historical', 'staging', 'features', 'runtime', 'audit')"
        " and nspname || '.' || relname !~ '^(historical.prices_daily|runtime.regime_locks)'"
    ).rows
    nodes = {
        f"{node['schema']}.{node['name']}": node
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed") and is_run(node)
    }
    assert {name for _, name, _ in relations} == set(nodes) > ENGINE_TABLES
    for oid, name, comment in relations:
        assert comment == nodes[name]["description"]
        columns = database.rows(
            "select attname, col_description(attrelid, attnum) from pg_attribute"
            " where attrelid = %s and attnum > 0 and not attisdropped",
            [oid],
        ).rows
        documented = nodes[name]["columns"]
        assert dict(columns) == {c: documented[c]["description"] for c in documented}


def test_the_source_is_described_as_load_makes_it(database, manifest):
    (source,) = manifest["sources"].values()
    columns = database.rows(
        "select attname from pg_attribute where attrelid = 'historical.prices_daily'::regclass"
        " and attnum > 0 and not attisdropped"
    ).rows
    assert {name for (name,) in columns} == set(source["columns"])


def test_the_var_encoders_says_what_the_encoders_do(server):
    declared = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]["encoders"]
    assert set(declared) == set(encoders.ENCODERS)
    with connect(server.settings) as database:
        for model_id, encoder in encoders.ENCODERS.items():
            assert tuple(declared[model_id]["columns"]) == encoder.COLUMNS
            found, expected = {}, {}
            for window_days in (63, 252):
                with contextlib.suppress(RegimeError):  # not a length that the encoder reads
                    encoder = encoders.get(model_id, window_days)
                    expected[window_days] = encoder.dimension(window_days)
                    (found[window_days],) = database.one(
                        sql.SQL("select {} from (values ({})) as of_a (window_days)").format(
                            sql.SQL(declared[model_id]["dimension"]), sql.Literal(window_days)
                        )
                    )
            assert found == expected != {}


@pytest.mark.parametrize("table", sorted(ENGINE_TABLES))
def test_lineage_runs_unbroken_from_prices_to_each_engine_table(manifest, table):
    ancestors, found = [f"model.regime_engine.{table.split('.')[1]}"], set()
    while ancestors:
        found.add(child := ancestors.pop())
        ancestors += set(manifest["parent_map"].get(child, [])) - found
    assert "model.regime_engine.daily_features" in found
    assert "source.regime_engine.historical.prices_daily" in found
    exposed = {
        parent
        for exposure in manifest["exposures"].values()
        for parent in exposure["depends_on"]["nodes"]
    }
    assert f"model.regime_engine.{table.split('.')[1]}" in exposed


def test_lineage_runs_unbroken_from_prices_over_each_audit_view_to_an_exposure(manifest):
    views = [n for n in manifest["nodes"].values() if n.get("schema") == "audit"]
    assert len(views) >= 14
    exposed = set(manifest["parent_map"]["exposure.regime_engine.audit"])
    for view in views:
        assert (view["group"], view["access"]) == ("audit", "public")
        assert "source.regime_engine.historical.prices_daily" in family(
            manifest["parent_map"], view["unique_id"]
        )
        assert exposed & family(manifest["child_map"], view["unique_id"])


def family(relation: dict[str, list[str]], name: str) -> set[str]:
    """The node and all that it leads to."""
    waiting, found = [name], set()
    while waiting:
        found.add(member := waiting.pop())
        waiting += set(relation.get(member, [])) - found
    return found


def test_every_model_has_a_group_and_every_function_a_description(manifest):
    for node in manifest["nodes"].values():
        if node["resource_type"] in ("model", "seed"):
            assert node["config"]["group"] in manifest["group_map"], node["name"]
    assert len(manifest["functions"]) >= 4
    for function in manifest["functions"].values():
        assert function["description"]
        for part in (*function["arguments"], function["returns"]):
            assert part["description"], function["name"]


def test_the_docs_are_one_file_and_no_column_of_the_catalog_is_undocumented(
    settings, shell, tmp_path
):
    succeed(shell(settings, "dbt docs generate --static --profiles-dir profiles"))
    page = (tmp_path / "static_index.html").read_text()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    models = {
        name
        for name, node in manifest["nodes"].items()
        if name.startswith(("model.", "seed.")) and is_run(node)
    }
    # The rest of the catalog: the tables that keep what tests found.
    assert {n for n in catalog["nodes"] if not n.startswith("test.")} == models
    for name in models:
        node = catalog["nodes"][name]
        described = manifest["nodes"][name]["columns"]
        assert {column.lower() for column in node["columns"]} == set(described), name
        assert f'"{name}"' in page
        assert all(json.dumps(column["description"]) in page for column in described.values())


def test_a_failing_test_shows_the_row_and_not_its_null_alone(database):
    database.execute("update runtime.regions set instrument_id = null where region = 'US'")
    tested = dbt.test(database, "features").results
    (failing,) = [node for node in tested if node.status == "fail"]
    assert failing.name == "not_null_regions_instrument_id"
    (row,) = database.connection.execute(failing.query)
    assert row[0] == "US"
