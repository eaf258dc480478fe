"""A corrupted row makes the audit fail and is named by it."""

from datetime import date

import psycopg
import pytest

from regime_engine import engine, fitting, phases
from regime_engine.fitting import LabelledStretch, Recipe
from regime_engine.models import Series

US = Series("US", "num-regime-core-v1", 63)
LABELLED = (
    LabelledStretch("CARRY", date(2006, 1, 2), date(2006, 12, 29)),
    LabelledStretch("CRISIS", date(2008, 9, 15), date(2009, 3, 31)),
)
PROTOTYPES = Recipe("prototype", labelled=LABELLED)
# A transition of this stretch, and a day inside a spell of it.
CHANGE, INSIDE = "2011-08-23", "2011-09-15"

NAN = "decode('0000c07f', 'hex')"
LAST_BYTES = "substr({0}, 1, octet_length({0}) - 4)"


@pytest.fixture
def classified(connection, features_database) -> psycopg.Connection:
    fitting.fit(connection, features_database, US, PROTOTYPES)
    engine.backfill(connection, features_database, US, date(2011, 6, 1), date(2011, 12, 30))
    return connection


def corrupt(connection: psycopg.Connection, statement: str) -> None:
    """One statement that has to change at least one row, past the table's own checks."""
    connection.execute(
        "alter table historical.numeric_window_embeddings"
        " drop constraint numeric_window_embeddings_check"
    )
    connection.execute("alter table runtime.regimes drop constraint regimes_confidence_check")
    assert connection.execute(statement).rowcount >= 1


EMBEDDINGS = (
    "update historical.numeric_window_embeddings set {} where as_of_date = '" + INSIDE + "'"
)
REGIMES = "update runtime.regimes set {} where as_of_date = '" + INSIDE + "'"
TRANSITIONS = "update runtime.regime_transitions set {} where as_of_date = '" + CHANGE + "'"


@pytest.mark.parametrize(
    ("statement", "test", "day"),
    [
        (REGIMES.format("regime_label = 'CARRY'"), "regime_transitions_are_the_label_changes", INSIDE),
        (REGIMES.format("regime_label = 'CARRY'"), "regime_confidence_is_the_probability_of_its_label", INSIDE),
        (REGIMES.format("regime_label = 'BOOM'"), "regime_labels_are_known", INSIDE),
        (REGIMES.format("runner_up_label = 'BOOM'"), "regime_labels_are_known", INSIDE),
        (REGIMES.format("confidence = 1.5"), "regime_confidence_is_the_probability_of_its_label", INSIDE),
        (REGIMES.format("confidence = 'NaN'"), "regime_confidence_is_the_probability_of_its_label", INSIDE),
        (REGIMES.format("probabilities = '{\"CRISIS\": 0.2}', confidence = 0.2"), "regime_confidence_is_the_probability_of_its_label", INSIDE),
        (REGIMES.format("model_version = 7"), "regime_versions_were_valid", INSIDE),
        (REGIMES.format("run_id = gen_random_uuid()"), "rows_have_a_run_that_succeeded", INSIDE),
        (REGIMES.format("regime_embedding = set_byte(regime_embedding, 5, 1)"), "regime_embeddings_are_the_stored_windows", INSIDE),
        (f"delete from runtime.regime_transitions where as_of_date = '{CHANGE}'", "regime_transitions_are_the_label_changes", CHANGE),
        (TRANSITIONS.format("from_regime_label = 'NEUTRAL'"), "regime_transitions_are_the_label_changes", CHANGE),
        (TRANSITIONS.format(f"as_of_date = '{INSIDE}'"), "regime_transitions_are_the_label_changes", INSIDE),
        (f"insert into runtime.regime_transitions select region, '{INSIDE}', model_id, window_days, as_of_date, to_regime_label, from_regime_label, 0.6, 0.6, run_id, created_at from runtime.regime_transitions where as_of_date = '{CHANGE}'", "regime_transitions_are_the_label_changes", INSIDE),
        (EMBEDDINGS.format("vector = " + LAST_BYTES.format("vector")), "embeddings_have_their_dimension", INSIDE),
        (EMBEDDINGS.format("dimension = 383, vector = " + LAST_BYTES.format("vector")), "embeddings_have_their_dimension", INSIDE),
        (EMBEDDINGS.format(f"vector = overlay(vector placing {NAN} from 1 + 4 * 17)"), "embeddings_are_finite", INSIDE),
        (EMBEDDINGS.format(f"vector = overlay(vector placing {NAN} from 1 + 4 * 383)"), "embeddings_are_finite", INSIDE),
        (EMBEDDINGS.format("vector = overlay(vector placing decode('000080ff', 'hex') from 1)"), "embeddings_are_finite", INSIDE),
        (EMBEDDINGS.format("window_spec = jsonb_set(window_spec, '{last_trade_date}', '\"2011-09-16\"')"), "embedding_windows_end_by_their_date", INSIDE),
        (REGIMES.format("metadata = jsonb_set(metadata, '{first_trade_date}', '\"1999-01-04\"')"), "regime_embeddings_are_the_stored_windows", INSIDE),
        (f"delete from historical.numeric_window_embeddings where as_of_date = '{INSIDE}'", "regime_embeddings_are_the_stored_windows", INSIDE),
        (f"update features.daily_features set log_return = 0 where trade_date = '{INSIDE}' and instrument_id = 'GSPC.INDX'", "features_match_the_prices", INSIDE),
        (f"delete from historical.prices_daily where trade_date = '{INSIDE}' and instrument_id = 'GSPC.INDX'", "features_match_the_prices", INSIDE),
    ],
)  # fmt: skip
def test_the_audit_fails_and_names_the_row(classified, features_database, statement, test, day):
    corrupt(classified, statement)
    _, findings = phases.audit(features_database, classified)
    (finding,) = [finding for finding in findings if finding.test.name == test]
    assert finding.test.status == "fail"
    days = {
        str(value)
        for row in finding.rows.rows
        for name, value in zip(finding.rows.headers, row, strict=True)
        if name in ("as_of_date", "trade_date")
    }
    assert day in days


def test_nothing_is_found_where_nothing_is_wrong(classified, features_database):
    results, findings = phases.audit(features_database, classified)
    assert findings == []
    assert len([result for result in results if result.resource_type == "test"]) >= 15


@pytest.mark.parametrize(
    ("statement", "test"),
    [
        (f"delete from runtime.regimes where as_of_date = '{INSIDE}'", "trading_days_have_a_regime"),
        (f"update features.daily_features set volume = 1 where trade_date = '{INSIDE}'", "embedding_hashes_match_the_features"),
        (f"update runtime.regimes set model_version = 0 where as_of_date = '{INSIDE}'", "regimes_are_by_the_version_in_force"),
    ],
)  # fmt: skip
def test_a_changed_world_is_a_warning(classified, features_database, statement, test):
    classified.execute(statement)
    _, findings = phases.audit(features_database, classified)
    (finding,) = [finding for finding in findings if finding.test.name == test]
    assert finding.test.status == "warn"


def test_rows_of_a_failed_run_are_found_until_a_rerun_takes_them_over(
    classified, features_database
):
    classified.execute(
        "update runtime.regime_runs set status = 'FAILED' where command = 'backfill'"
    )
    _, findings = phases.audit(features_database, classified)
    assert [finding.test.name for finding in findings] == ["rows_have_a_run_that_succeeded"]
    engine.backfill(classified, features_database, US, date(2011, 6, 1), date(2011, 12, 30))
    _, findings = phases.audit(features_database, classified)
    assert findings == []


def test_the_command_prints_the_offending_rows_and_exits_with_one(classified, regime):
    assert regime("audit").returncode == 0
    corrupt(classified, REGIMES.format("regime_label = 'CARRY'"))
    result = regime("audit")
    assert result.returncode == 1
    assert "FAIL regime_transitions_are_the_label_changes: 2 rows." in result.stdout
    assert INSIDE in result.stdout
    assert "Audit failed: " in result.stdout
