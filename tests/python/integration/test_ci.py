"""The example workflow, its commands run for real."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from commands import environment, forked_path, succeed
from project import ROOT, copy_project, run_in

from regime_engine.config import Settings
from regime_engine.database import connect, libpq_environment

pytestmark = pytest.mark.one_server

WORKFLOW = ROOT / "examples/ci/regimes.yml"


@pytest.fixture(scope="module")
def steps() -> dict[str, str]:
    """name → command, of the steps that have one; the installation is the test run's own."""
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    commands = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert "pip install" in commands.pop("Install")
    return commands


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_project(tmp_path, ".sqlfluff")


def run(settings: Settings, checkout: Path, command: str) -> subprocess.CompletedProcess:
    with connect(settings) as database:
        env = environment(settings) | libpq_environment(database)
    del env["REGIME_DATABASE_URL"]  # the workflow has libpq's variables
    env |= {"PATH": forked_path(), "REGIME_PROJECT_DIR": str(checkout), "NO_COLOR": "1"}
    # As GitHub runs a step whose shell is bash.
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    return run_in(checkout, [*shell, command], env)


def test_the_workflow_runs_and_a_second_build_is_of_what_changed(settings, checkout, steps):
    for name, command in steps.items():
        if name == "Lint":  # a test of its own
            continue
        succeed(run(settings, checkout, command))
    assert json.loads((checkout / "audit.json").read_text())["passed"]

    model = checkout / "models/features/daily_features.sql"
    model.write_text(model.read_text() + "\n-- changed\n")
    succeed(run(settings, checkout, steps["Build what changed"]))
    results = json.loads((checkout / "target/run_results.json").read_text())["results"]
    models = {r["unique_id"] for r in results if r["unique_id"].startswith("model.")}
    assert "model.regime_engine.daily_features" in models
    assert not any("staging" in name or "stg_" in name for name in models)
    assert not any(r["unique_id"].startswith("seed.") for r in results)


def test_the_audit_step_fails_with_a_wrong_row(database, checkout, steps):
    database.execute(
        "update features.daily_features set close = 1"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2010-06-01'"
    )
    done = run(database.settings, checkout, steps["Audit"])
    assert done.returncode == 1
    document = json.loads((checkout / "audit.json").read_text())
    (failed,) = [test for test in document["tests"] if test["verdict"] == "FAIL"]
    assert failed["name"] == "features_match_the_prices"
    assert failed["rows"][0]["trade_date"] == "2010-06-01"


def test_the_sql_is_as_the_linter_wants_it(settings, checkout, steps):
    pytest.importorskip("sqlfluff", reason="`make test` installs it")
    succeed(run(settings, checkout, steps["Lint"]))
