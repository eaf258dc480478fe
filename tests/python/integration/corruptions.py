"""Corruptions of the finished database of test_mutations, and how to write more of them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from stored import EMBEDDINGS, FEATURES, MODELS, PRICES, REGIMES, REVISIONS, RUNS, TRANSITIONS

from regime_engine.store.regimes import REGIME_HASH

# A day inside a spell of US that no run revised, the last day of US, and a change of US.
DAY, LAST, CHANGE = "2010-05-20", "2010-12-31", "2010-05-06"
OTHER_DAY = "2010-05-21"
THAT_REGIME = f"region = 'US' and model_id = 'num-regime-core-v3' and as_of_date = '{DAY}'"
THAT_EMBEDDING = (
    f"entity_id = 'GSPC.INDX' and model_id = 'num-regime-core-v3' and as_of_date = '{DAY}'"
)
THAT_VOTE = f"region = 'GLOBAL' and as_of_date = '{DAY}'"
THAT_CHANGE = f"region = 'US' and as_of_date = '{CHANGE}'"
THAT_MODEL = "region = 'US' and version = 2"
THAT_PRICE = f"instrument_id = 'GSPC.INDX' and trade_date = '{DAY}'"
THAT_REVISION = "table_name = 'regimes' and key ->> 'as_of_date' = '2010-06-15'"
SECOND_BACKFILL = f"run_id = (select run_id from {REGIMES} where {THAT_REGIME})"
FORGET = "command = 'forget'"
FAILED_RUN = "status = 'FAILED' and error = 'Killed'"
NAN, INFINITY = "decode('0000c07f', 'hex')", "decode('000080ff', 'hex')"

REGIME = {"region": "US", "as_of_date": DAY, "model_id": "num-regime-core-v3"}
EMBEDDING = {"entity_id": "GSPC.INDX", "as_of_date": DAY, "model_id": "num-regime-core-v3"}
TRANSITION = {"region": "US", "as_of_date": CHANGE}
MODEL = {"region": "US", "version": "2"}
VOTE = {"region": "GLOBAL", "as_of_date": DAY, "model_id": "num-regime-core-v3"}
PRICE = {"instrument_id": "GSPC.INDX", "trade_date": DAY}


def copy_of(table: str, condition: str, **changes: str) -> str:
    """Insert a copy of the row with some columns changed: name → SQL expression."""
    values = ", ".join(f"'{name}', {value}" for name, value in changes.items())
    return (
        f"insert into {table} select (jsonb_populate_record(t, jsonb_build_object({values}))).*"
        f" from {table} as t where {condition}"
    )


def change_of(table: str, condition: str) -> Callable[[str], str]:
    return lambda change: f"update {table} set {change} where {condition}"


of_regime = change_of(REGIMES, THAT_REGIME)
of_vote = change_of(REGIMES, THAT_VOTE)
of_embedding = change_of(EMBEDDINGS, THAT_EMBEDDING)
of_transition = change_of(TRANSITIONS, THAT_CHANGE)
of_model = change_of(MODELS, THAT_MODEL)
of_run = change_of(RUNS, SECOND_BACKFILL)


def other(table: str, column: str, condition: str) -> str:
    return f"(select {column} from {table} where {condition})"


def other_number(number: int, value: float) -> str:
    """The vector with another value as one of its numbers."""
    return rf"overlay(vector placing '\x{struct.pack('<f', value).hex()}' from 1 + 4 * {number})"


def forged(change: str, condition: str = THAT_REGIME) -> list[str]:
    """The regime changed by someone who knows how its hash is made."""
    row_hash = REGIME_HASH.as_string()
    return [
        f"update {REGIMES} set {change} where {condition}",
        f"update {REGIMES} set row_hash = {row_hash} where {condition}",
    ]


def embedding_hash(vector: str = "t.vector") -> str:
    """The expression for the hash of the embedding `t`."""
    columns = ["entity_type", "entity_id", "as_of_date", "model_id", "window_days"]
    columns += ["window_spec", "dimension", "window_hash"]
    text = f"jsonb_build_array({', '.join(f't.{column}' for column in columns)})::text"
    return f"encode(sha256(convert_to({text}, 'UTF8') || {vector}), 'hex')"


def forged_embedding(change: str, condition: str = THAT_EMBEDDING) -> list[str]:
    """The embedding changed by someone who knows how its hash is made."""
    return [
        f"update {EMBEDDINGS} set {change} where {condition}",
        f"update {EMBEDDINGS} as t set row_hash = {embedding_hash()} where {condition}",
    ]


OF_PROTOTYPE = THAT_REGIME.replace("US", "US_TECH")
OF_SEED_RULE = THAT_REGIME.replace(DAY, "2007-10-01")
OTHER_ENCODERS = "model_id <> 'num-regime-core-v3'"
OTHER_INSTRUMENT = THAT_EMBEDDING.replace("GSPC", "IXIC")
RUN_OF_ONE_DAY = "'run' = command and rows_written ->> 'regimes' = '1'"
OTHER_VECTOR = other(EMBEDDINGS, "vector", THAT_EMBEDDING.replace(DAY, OTHER_DAY))
CONFIDENCE = "regime_confidence_is_the_probability_of_its_label"
CLASSIFIED = "regimes_are_as_they_were_classified"
STORED = "regime_embeddings_are_the_stored_windows"
CHANGES = "regime_transitions_are_the_label_changes"
PROBABILITIES = "regime_probabilities_are_the_models"
AGREE = "rows_agree_with_their_run"
ENCODED = "embeddings_are_as_they_were_encoded"
DIMENSION = "embeddings_have_their_dimension"
OF_WINDOWS = "vectors_are_of_their_windows"
WINDOWS = "embedding_windows_end_by_their_date"
HASHES = "embedding_hashes_match_the_features"
FITTED = "models_are_as_they_were_fitted"
COUNTED = "runs_wrote_what_they_counted"
RECORDED = "runs_are_as_they_were_recorded"
REVISED = "revisions_are_as_they_were_recorded"
OF_PRICES = "features_match_the_prices"
HAD_COME = "rows_are_of_days_that_had_come"
CASE = "keys_differ_by_more_than_case"
VOLATILITY = "expected_volatilities_are_of_their_models"
MEANS = "votes_are_the_weighted_means"
OF_TODAY = "votes_are_of_todays_regimes"
VOTED = "votes_are_of_regimes_that_were_there"
WAS_IN_FORCE = "regimes_are_by_a_version_that_was_in_force"
AS_ASKED = "models_are_of_the_training_they_were_asked_for"


@dataclass(frozen=True)
class Corruption:
    """sql: one statement or more; found_by: the test that finds it, by a row that says `row`"""

    name: str
    sql: str | list[str]
    found_by: str
    row: dict[str, str]


SLIPS = (
    Corruption("label flipped", of_regime("regime_label = 'CARRY'"), CHANGES, REGIME),
    Corruption("label flipped, with the probability of the new one", of_regime("""
            regime_label = 'NEUTRAL',
            runner_up_label = 'RISK_OFF',
            confidence = (probabilities ->> 'NEUTRAL')::float8
            """), CLASSIFIED, REGIME),
    Corruption("label that is none", of_regime("regime_label = 'BOOM'"), "regime_labels_are_known", REGIME),
    Corruption("runner-up that is none", of_regime("runner_up_label = 'BOOM'"), "regime_labels_are_known", REGIME),
    Corruption("runner-up less probable than another", of_regime("runner_up_label = 'CARRY'"), PROBABILITIES, REGIME),
    Corruption("runner-up removed", of_regime("runner_up_label = null"), PROBABILITIES, REGIME),
    Corruption("confidence above 1", of_regime("confidence = 1.5"), CONFIDENCE, REGIME),
    Corruption("confidence below 0", of_regime("confidence = -0.1"), CONFIDENCE, REGIME),
    Corruption("confidence NaN", of_regime("confidence = 'NaN'"), CONFIDENCE, REGIME),
    Corruption("confidence rounded", of_regime("confidence = round(confidence::numeric, 3)"), CONFIDENCE, REGIME),
    Corruption("probabilities that do not sum to 1", of_regime("probabilities = probabilities || '{\"CARRY\": 0.4}'"), CONFIDENCE, REGIME),
    Corruption("probability negative, sum 1", of_regime("""
            probabilities = probabilities || jsonb_build_object('CARRY', -1, 'CRISIS',
                (probabilities ->> 'CRISIS')::float8 + (probabilities ->> 'CARRY')::float8 + 1)
            """), PROBABILITIES, REGIME),
    Corruption("expected volatility edited", of_regime("expected_volatility = expected_volatility * 1.01"), CLASSIFIED, REGIME),
    Corruption("expected volatility NaN, with the row's hash", forged("expected_volatility = 'NaN'"), VOLATILITY, REGIME),
    Corruption("expected volatility infinite, with the row's hash", forged("expected_volatility = 'infinity'"), VOLATILITY, REGIME),
    Corruption("expected volatility negative, with the row's hash", forged("expected_volatility = -0.2"), VOLATILITY, REGIME),
    Corruption("expected volatility of 0, with the row's hash", forged("expected_volatility = 0"), VOLATILITY, REGIME),
    Corruption("expected volatility removed, with its days a year and the row's hash", forged("expected_volatility = null, metadata = metadata - 'trading_days_a_year'"), VOLATILITY, REGIME),
    Corruption("expected volatility without its days a year, with the row's hash", forged("metadata = metadata - 'trading_days_a_year'"), VOLATILITY, REGIME),
    Corruption("days a year that no year has, with the row's hash", forged("metadata = metadata || '{\"trading_days_a_year\": 3650}'"), VOLATILITY, REGIME),
    Corruption("expected volatility of a prototype, with the row's hash", forged("expected_volatility = 0.2", OF_PROTOTYPE), VOLATILITY, REGIME | {"region": "US_TECH"}),
    Corruption("expected volatility of the seed rule, with the row's hash", forged("expected_volatility = 0.2", OF_SEED_RULE), VOLATILITY, REGIME | {"as_of_date": "2007-10-01"}),
    Corruption("probabilities exchanged", of_regime("""
            probabilities = probabilities || jsonb_build_object('CARRY',
                probabilities -> 'CRISIS', 'CRISIS', probabilities -> 'CARRY')
            """), CLASSIFIED, REGIME),
    Corruption("probability of a label that the model has not", of_regime("probabilities = probabilities || '{\"PANIC\": 0}'"), PROBABILITIES, REGIME),
    Corruption("regime's embedding bit-flipped", of_regime("regime_embedding = set_bit(regime_embedding, 77, 1 - get_bit(regime_embedding, 77))"), STORED, REGIME),
    Corruption("regime's embedding cut short", of_regime("regime_embedding = substr(regime_embedding, 1, 1532)"), STORED, REGIME),
    Corruption("regime's embedding of another date", of_regime(f"regime_embedding = {OTHER_VECTOR}"), STORED, REGIME),
    Corruption("regime's embedding of another encoder", of_regime(f"regime_embedding = {other(REGIMES, 'regime_embedding', OTHER_ENCODERS)}"), STORED, REGIME),
    Corruption("window dates of a regime", of_regime("metadata = jsonb_set(metadata, '{first_trade_date}', '\"1999-01-04\"')"), STORED, REGIME),
    Corruption("evidence edited", of_regime("metadata = metadata || '{\"novelty\": 50}'"), CLASSIFIED, REGIME),
    Corruption("in_sample claimed", of_regime("metadata = metadata || '{\"in_sample\": true}'"), "regime_versions_were_valid", REGIME),
    Corruption("version_given claimed", of_regime("metadata = metadata || '{\"version_given\": true}'"), AGREE, REGIME),
    Corruption("regime by a version that there is not", of_regime("model_version = 7"), "regime_versions_were_valid", REGIME),
    Corruption("regime by a version of its future", f"""
            update {REGIMES}
            set model_version = 3
            where region = 'US'
            and as_of_date = '2009-05-20'
            """, "regime_versions_were_valid", {"region": "US", "as_of_date": "2009-05-20"}),
    Corruption("regime by an older version", of_regime("model_version = 2"), WAS_IN_FORCE, REGIME),
    Corruption("regime by the seed rule though a model is valid", of_regime("model_version = 0"), WAS_IN_FORCE, REGIME),
    Corruption("regime of another instrument", of_regime("instrument_id = 'IXIC.INDX'"), AGREE, REGIME),
    Corruption("regime of another region", of_regime("region = 'EU'"), AGREE, REGIME | {"region": "EU"}),
    Corruption("regime moved to a Saturday", of_regime("as_of_date = '2010-05-22'"), STORED, REGIME | {"as_of_date": "2010-05-22"}),
    Corruption("regime deleted", f"delete from {REGIMES} where {THAT_REGIME}", "embeddings_have_the_regime_they_were_written_for", REGIME),
    Corruption("last regime deleted", f"delete from {REGIMES} where region = 'US_TECH' and as_of_date = '{LAST}'", "embeddings_have_the_regime_they_were_written_for", {"region": "US_TECH", "as_of_date": LAST}),
    Corruption("last regime deleted, which had replaced another", f"delete from {REGIMES} where region = 'US' and as_of_date = '{LAST}'", "embeddings_have_the_regime_they_were_written_for", {"region": "US", "as_of_date": LAST}),
    Corruption("last regime deleted, with its embedding", [f"delete from {REGIMES} where region = 'US_TECH' and as_of_date = '{LAST}'", f"delete from {EMBEDDINGS} where entity_id = 'IXIC.INDX' and as_of_date = '{LAST}'"], COUNTED, {"region": "US_TECH", "as_of_date": LAST}),
    Corruption("regime again, under a key of another case", copy_of(REGIMES, THAT_REGIME, region="'us'"), AGREE, {"region": "us", "as_of_date": DAY}),
    Corruption("regime twice", [f"alter table {REGIMES} drop constraint regimes_pkey", copy_of(REGIMES, THAT_REGIME, region="'US'")], "regimes_have_unique_keys", REGIME),
    Corruption("regime after the last price", copy_of(REGIMES, THAT_REGIME, as_of_date="'2019-03-01'"), HAD_COME, {"entity_or_region": "US", "as_of_date": "2019-03-01"}),
    Corruption("regime of a day to come", copy_of(REGIMES, THAT_REGIME, as_of_date="'2099-01-01'"), HAD_COME, {"entity_or_region": "US", "as_of_date": "2099-01-01"}),
    Corruption("regime of a day outside its run", copy_of(REGIMES, THAT_REGIME, as_of_date="'2007-09-28'"), AGREE, REGIME | {"as_of_date": "2007-09-28"}),
    Corruption("regime of no run", of_regime("run_id = gen_random_uuid()"), "rows_have_a_run_that_succeeded", {"entity_or_region": "US", "as_of_date": DAY}),
    Corruption("regime of another run", of_regime(f"run_id = {other(RUNS, 'run_id', RUN_OF_ONE_DAY)}"), AGREE, REGIME),
    Corruption("regime dated back", of_regime("created_at = created_at - interval '1 day'"), AGREE, REGIME),
    Corruption("regime's hash edited", of_regime("row_hash = md5(row_hash)"), CLASSIFIED, REGIME),
    Corruption("vector cut short", of_embedding("vector = substr(vector, 1, 1532)"), DIMENSION, EMBEDDING),
    Corruption("vector cut short, and its dimension", of_embedding("vector = substr(vector, 1, 1532), dimension = 383"), DIMENSION, EMBEDDING),
    Corruption("vector of a NaN", of_embedding(f"vector = overlay(vector placing {NAN} from 1 + 4 * 17)"), "embeddings_are_finite", EMBEDDING),
    Corruption("vector of an infinity at its end", of_embedding(f"vector = overlay(vector placing {INFINITY} from 1 + 4 * 383)"), "embeddings_are_finite", EMBEDDING),
    Corruption("vector bit-flipped", of_embedding("vector = set_bit(vector, 77, 1 - get_bit(vector, 77))"), ENCODED, EMBEDDING),
    Corruption("vectors swapped between two dates", f"""
            update {EMBEDDINGS} as t
            set vector = o.vector
            from {EMBEDDINGS} as o
            where (t.entity_id, t.model_id) = (o.entity_id, o.model_id)
            and t.as_of_date in ('{DAY}', '{OTHER_DAY}')
            and o.as_of_date in ('{DAY}', '{OTHER_DAY}')
            and t.as_of_date <> o.as_of_date
            """, ENCODED, EMBEDDING),
    Corruption("vector of another encoder", of_embedding(f"vector = {other(EMBEDDINGS, 'vector', OTHER_ENCODERS)}"), ENCODED, EMBEDDING),
    Corruption("vector of another instrument", of_embedding(f"vector = {other(EMBEDDINGS, 'vector', OTHER_INSTRUMENT)}"), ENCODED, EMBEDDING),
    Corruption("vector edited in both tables", [of_embedding(f"vector = {OTHER_VECTOR}"), of_regime(f"regime_embedding = {OTHER_VECTOR}")], ENCODED, EMBEDDING),
    Corruption("vectors swapped between two dates, with their hashes", f"""
            update {EMBEDDINGS} as t
            set vector = o.vector,
                row_hash = {embedding_hash("o.vector")}
            from {EMBEDDINGS} as o
            where (t.entity_id, t.model_id) = (o.entity_id, o.model_id)
            and t.as_of_date in ('{DAY}', '{OTHER_DAY}')
            and o.as_of_date in ('{DAY}', '{OTHER_DAY}')
            and t.as_of_date <> o.as_of_date
            """, OF_WINDOWS, EMBEDDING),
    Corruption("vector of a price that never was, with its hash", forged_embedding(
            r"vector = overlay(vector placing '\x00000045' from 1 + 4 * 183)",
            "model_id = 'num-regime-core-v1'",
            ), OF_WINDOWS, {"entity_id": "GSPC.INDX", "as_of_date": "2010-09-05"}),
    *(
        Corruption(f"{name}, with the row's hash", forged_embedding(f"vector = {vector}"), OF_WINDOWS, EMBEDDING)
        for name, vector in (
            ("range of a day forged", other_number(189 + 30, 0.05)),
            ("range of the first day forged", other_number(189, 0.05)),
            ("range said to be missing", other_number(189 + 62, -0.0)),
            ("overnight gap forged", other_number(290 + 62, -0.02)),
            ("overnight gap of the first day forged", other_number(290, -0.02)),
        )
    ),
    Corruption("embedding's hash edited", of_embedding("row_hash = window_hash"), ENCODED, EMBEDDING),
    Corruption("embedding deleted", f"delete from {EMBEDDINGS} where {THAT_EMBEDDING}", STORED, REGIME),
    Corruption("embedding moved to a Saturday", of_embedding("as_of_date = '2010-05-22'"), HAD_COME, {"entity_or_region": "GSPC.INDX", "as_of_date": "2010-05-22"}),
    Corruption("embedding of another type of entity", of_embedding("entity_type = 'sector'"), ENCODED, EMBEDDING | {"entity_type": "sector"}),
    Corruption("embedding of an encoder that there is not", of_embedding("model_id = 'num-regime-core-v9'"), DIMENSION, EMBEDDING | {"model_id": "num-regime-core-v9"}),
    Corruption("embedding of another window length", of_embedding("window_days = 62"), WINDOWS, EMBEDDING | {"window_days": "62"}),
    Corruption("embedding again, under a key of another case", copy_of(EMBEDDINGS, THAT_EMBEDDING, entity_id="'gspc.indx'"), AGREE, {"instrument_id": "gspc.indx", "as_of_date": DAY}),
    Corruption("embedding twice", [f"alter table {EMBEDDINGS} drop constraint numeric_window_embeddings_pkey", copy_of(EMBEDDINGS, THAT_EMBEDDING, entity_type="'INSTRUMENT'")], "embeddings_have_unique_keys", EMBEDDING),
    Corruption("embedding of a day to come", copy_of(EMBEDDINGS, THAT_EMBEDDING, as_of_date="'2099-01-01'"), HAD_COME, {"entity_or_region": "GSPC.INDX", "as_of_date": "2099-01-01"}),
    Corruption("embedding of no run", of_embedding("run_id = gen_random_uuid()"), "rows_have_a_run_that_succeeded", {"entity_or_region": "GSPC.INDX", "as_of_date": DAY}),
    Corruption("window that looks past its date", of_embedding(f"""
            window_spec = jsonb_set(window_spec, '{{last_trade_date}}', '"{OTHER_DAY}"')
            """), WINDOWS, EMBEDDING),
    Corruption("window's first date", of_embedding("""
            window_spec = jsonb_set(window_spec, '{first_trade_date}', '"2010-01-04"')
            """), STORED, REGIME),
    Corruption("window's rows", of_embedding("window_spec = jsonb_set(window_spec, '{rows}', '64')"), WINDOWS, EMBEDDING),
    Corruption("window's columns", of_embedding("window_spec = jsonb_set(window_spec, '{columns, 0}', '\"log_return\"')"), WINDOWS, EMBEDDING),
    Corruption("window's hash", of_embedding("window_hash = reverse(window_hash)"), ENCODED, EMBEDDING),
    Corruption("transition deleted", f"delete from {TRANSITIONS} where {THAT_CHANGE}", CHANGES, TRANSITION),
    Corruption("transition added", copy_of(TRANSITIONS, THAT_CHANGE, as_of_date=f"'{DAY}'"), CHANGES, REGIME),
    Corruption("transition moved a day", of_transition("as_of_date = as_of_date + 1"), CHANGES, {"as_of_date": "2010-05-07"}),
    Corruption("transition from another label", of_transition("from_regime_label = 'CRISIS'"), CHANGES, TRANSITION),
    Corruption("transition to another label", of_transition("to_regime_label = 'CRISIS'"), CHANGES, TRANSITION),
    Corruption("transition's confidence", of_transition("to_confidence = 'NaN'"), CHANGES, TRANSITION),
    Corruption("transition's previous date", of_transition("previous_as_of_date = previous_as_of_date - 1"), CHANGES, TRANSITION),
    Corruption("transition of no run", of_transition("run_id = gen_random_uuid()"), "rows_have_a_run_that_succeeded", {"entity_or_region": "US", "as_of_date": CHANGE}),
    Corruption("transition twice", [f"alter table {TRANSITIONS} drop constraint regime_transitions_pkey", copy_of(TRANSITIONS, THAT_CHANGE, region="'US'")], "transitions_have_unique_keys", TRANSITION),
    Corruption("model parameters edited", of_model("parameters = jsonb_set(parameters, '{experts, 0, nu}', '7')"), FITTED, MODEL),
    Corruption("model's labels exchanged", of_model("labels = array['CRISIS', 'NEUTRAL', 'RISK_OFF', 'CARRY']"), FITTED, MODEL),
    Corruption("model of a label that is none", of_model("labels[1] = 'BOOM'"), "regime_labels_are_known", {"region": "US", "used_as": "version 2"}),
    Corruption("model's classifier", of_model("classifier = 'prototype'"), AGREE, MODEL),
    Corruption("model's metrics edited", of_model("metrics = metrics || '{\"held_out_log_score\": 9}'"), FITTED, MODEL),
    Corruption("training span edited", of_model("trained_to = trained_to - 30"), FITTED, MODEL),
    Corruption("training windows edited", of_model("n_windows = n_windows + 1"), AS_ASKED, MODEL),
    Corruption("training hash edited", of_model("training_hash = md5(training_hash)"), AS_ASKED, MODEL),
    Corruption("valid_from moved earlier", of_model("valid_from = valid_from - 60"), FITTED, MODEL),
    Corruption("model deleted", f"delete from {MODELS} where {THAT_MODEL}", "model_versions_follow_each_other", MODEL),
    Corruption("last model deleted", f"delete from {MODELS} where region = 'US' and version = 3", "regime_versions_were_valid", {"region": "US", "model_version": "3"}),
    Corruption("model added", copy_of(MODELS, THAT_MODEL, version="4", valid_from="'2010-06-01'"), FITTED, MODEL | {"version": "4"}),
    Corruption("model again, under a key of another case", copy_of(MODELS, THAT_MODEL, region="'Us'"), AGREE, {"region": "Us", "as_of_date": "2009-01-01"}),
    Corruption("model twice", [f"alter table {MODELS} drop constraint regime_models_pkey", copy_of(MODELS, THAT_MODEL, region="'US'")], "models_have_unique_keys", MODEL),
    Corruption("region fitted on another instrument", f"""
            update {RUNS}
            set parameters = parameters || '{{"instrument_id": "IXIC.INDX"}}'
            where command = 'fit'
            and parameters ->> 'region' = 'US'
            """, RECORDED, {"command": "fit", "fault": "the row was edited"}),
    Corruption("run deleted", f"delete from {RUNS} where {SECOND_BACKFILL}", "rows_have_a_run_that_succeeded", {"entity_or_region": "US", "as_of_date": DAY}),
    Corruption("run without rows deleted", f"delete from {RUNS} where {FAILED_RUN}", "runs_follow_each_other", {"command": "backfill", "fault": "the run before it is gone"}),
    Corruption("run's counts edited", of_run("rows_written = rows_written || '{\"regimes\": 900}'"), COUNTED, {"table_name": "regimes", "rows_counted": "900", "rows_found": "821"}),
    Corruption("run's count of transitions edited", of_run("rows_written = rows_written || '{\"regime_transitions\": 90}'"), RECORDED, {"command": "backfill"}),
    Corruption("run's failure edited away", f"update {RUNS} set status = 'SUCCEEDED', error = null where {FAILED_RUN}", RECORDED, {"command": "backfill", "status": "SUCCEEDED"}),
    Corruption("run's success edited", of_run("status = 'FAILED'"), "rows_have_a_run_that_succeeded", {"entity_or_region": "US", "as_of_date": DAY, "run_status": "FAILED"}),
    Corruption("run's parameters edited", of_run("parameters = parameters || '{\"start\": \"2010-05-24\"}'"), AGREE, REGIME),
    Corruption("run's times edited", of_run("finished_at = started_at"), AGREE, REGIME),
    Corruption("rows that were forgotten left out of the count", f"update {RUNS} set rows_removed = rows_removed - 'regimes' where {FORGET}", COUNTED, {"table_name": "regimes", "region": "US_TECH", "rows_counted": "21", "rows_found": "0"}),
    Corruption("more rows counted as forgotten", f"""
            update {RUNS} as forgets
            set rows_removed = jsonb_build_object('regimes', jsonb_build_object(run_id, 1))
            where {FORGET}
            """, RECORDED, {"command": "forget", "fault": "the row was edited"}),
    Corruption("regime said to be of a run that removed rows", of_regime(f"run_id = {other(RUNS, 'run_id', FORGET)}"), AGREE, REGIME | {"fault": "the run only removed rows"}),
    Corruption("run's user edited", of_run("database_user = 'nobody'"), RECORDED, {"command": "backfill"}),
    Corruption("run twice", [f"alter table {RUNS} drop constraint regime_runs_pkey", copy_of(RUNS, SECOND_BACKFILL, seal_number="null")], "runs_have_unique_keys", {}),
    Corruption("revision deleted", f"delete from {REVISIONS} where {THAT_REVISION}", COUNTED, {"table_name": "regimes", "region": "US", "as_of_date": "2010-06-15"}),
    Corruption("revision of a removed row deleted", f"delete from {REVISIONS} where key ->> 'as_of_date' = '2010-11-30'", COUNTED, {"table_name": "regimes", "fault": "there are fewer rows of the run than it counted"}),
    Corruption("revision edited", f"""
            update {REVISIONS}
            set old_row = jsonb_set(old_row, '{{regime_label}}', '"CARRY"')
            where {THAT_REVISION}
            """, REVISED, {"table_name": "regimes", "fault": "the revision was edited"}),
    Corruption("revision of another key", f"""
            update {REVISIONS}
            set key = key || '{{"as_of_date": "2010-06-16"}}'
            where {THAT_REVISION}
            """, REVISED, {"table_name": "regimes", "fault": "the revision was edited"}),
    Corruption("revision by no run", f"update {REVISIONS} set new_run_id = gen_random_uuid() where {THAT_REVISION}", REVISED, {"table_name": "regimes"}),
    Corruption("revision twice", copy_of(REVISIONS, THAT_REVISION, table_name="'regimes'"), COUNTED, {"table_name": "regimes", "fault": "there are more rows of the run than it counted"}),
    Corruption("price restated", f"update {PRICES} set close = close * 1.01 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("price deleted", f"delete from {PRICES} where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("price inserted in the past", copy_of(PRICES, THAT_PRICE, trade_date="'2010-05-22'"), OF_PRICES, PRICE | {"trade_date": "2010-05-22"}),
    Corruption("price that is NaN", f"update {PRICES} set close = 'NaN' where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("high restated", f"update {PRICES} set high = high * 1.01 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("open restated", f"update {PRICES} set open = close where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("volume restated", f"update {PRICES} set volume = volume * 2 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature edited", f"update {FEATURES} set adjusted_log_return = 0 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature's range edited", f"update {FEATURES} set log_range = 0 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature's gap taken away", f"update {FEATURES} set overnight_gap = null where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature edited, and its hash with it", f"""
            update {FEATURES}
            set relative_log_volume = 3,
                feature_hash = feature_hash + 1
            where {THAT_PRICE}
            """, OF_PRICES, PRICE),
    Corruption("feature's hash edited", f"update {FEATURES} set feature_hash = 1 where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature row deleted", f"delete from {FEATURES} where {THAT_PRICE}", OF_PRICES, PRICE),
    Corruption("feature row inserted", copy_of(FEATURES, THAT_PRICE, trade_date="'2010-05-22'"), OF_PRICES, PRICE | {"trade_date": "2010-05-22"}),
    Corruption("feature row of a day to come", copy_of(FEATURES, THAT_PRICE, trade_date="'2099-01-01'"), HAD_COME, {"entity_or_region": "GSPC.INDX", "as_of_date": "2099-01-01"}),
    Corruption("vote's label flipped", of_vote("regime_label = 'CARRY', confidence = (probabilities ->> 'CARRY')::float8"), MEANS, VOTE),
    Corruption("vote's runner-up", of_vote("runner_up_label = 'BOOM'"), MEANS, VOTE),
    Corruption("vote's probabilities exchanged", of_vote("""
            probabilities = probabilities || jsonb_build_object('CARRY',
                probabilities -> 'CRISIS', 'CRISIS', probabilities -> 'CARRY')
            """), MEANS, VOTE),
    Corruption("vote's expected volatility edited", of_vote("expected_volatility = coalesce(expected_volatility, 0.2) * 1.01"), MEANS, VOTE),
    Corruption("expected volatility of a vote's constituent", of_vote("metadata = jsonb_set(metadata, '{constituents, 1, expected_volatility}', '0.9')"), VOTED, VOTE),
    Corruption("vote's vector cut short", of_vote("regime_embedding = substr(regime_embedding, 1, 16)"), MEANS, VOTE),
    Corruption("vote's weight edited", of_vote("metadata = jsonb_set(metadata, '{constituents, 0, weight}', '9')"), MEANS, VOTE),
    Corruption("vote's constituent of another label", of_vote("metadata = jsonb_set(metadata, '{constituents, 0, regime_label}', '\"BOOM\"')"), VOTED, VOTE),
    Corruption("vote deleted", f"delete from {REGIMES} where {THAT_VOTE}", VOTED, VOTE | {"fault": "the day has no vote"}),
    Corruption("vote of a day without trading", copy_of(REGIMES, THAT_VOTE, as_of_date="'2010-05-22'"), VOTED, VOTE | {"as_of_date": "2010-05-22"}),
    Corruption("regime classified anew after the vote", of_regime("run_id = gen_random_uuid()"), VOTED, VOTE),
    Corruption("label taken out of its seed", "delete from runtime.regime_labels where label = 'RISK_OFF'", "regime_labels_are_known", REGIME),
    Corruption("view dropped", "drop view audit.version_disagreement_matrix", "relations_exist", {"schema_name": "audit", "name": "version_disagreement_matrix"}),
)  # fmt: skip

# What an honest history can cause as well: a warning, which fails `regime audit --strict` alone.
CHANGES_OF_THE_WORLD = (
    # The prices of a day were restated, and no run has followed them yet.
    Corruption("features of a day that is encoded", f"""
            update {FEATURES}
            set relative_log_volume = 3,
                feature_hash = feature_hash + 1
            where {THAT_PRICE}
            """, HASHES, EMBEDDING),
    Corruption("features of a training day", f"""
            update {FEATURES}
            set adjusted_log_return = 0,
                feature_hash = 0
            where instrument_id = 'GSPC.INDX'
            and trade_date = '2008-03-03'
            """, "training_windows_match_the_features", MODEL),
    # Its price was loaded late, or only `regime run` has classified the days around it.
    Corruption("trading day without a regime", copy_of(FEATURES, THAT_PRICE, trade_date="'2010-05-22'"), "trading_days_have_a_regime", REGIME | {"as_of_date": "2010-05-22"}),
    # A model was fitted after the regimes were written.
    Corruption("model that is not used yet", copy_of(MODELS, THAT_MODEL, version="4", valid_from="'2010-05-20'"), "regimes_are_by_the_version_in_force", REGIME | {"version_in_force": "4"}),
    # Only one of `regime fit` and `regime backfill` was given --instrument-id.
    Corruption("region fitted on another instrument than it was classified on", f"""
            update {RUNS}
            set parameters = parameters || '{{"instrument_id": "IXIC.INDX"}}'
            where command = 'fit'
            and parameters ->> 'region' = 'US'
            """, "regimes_are_of_the_instrument_of_their_model", REGIME),
    # A command was given --region us with an --instrument-id, or the prices name an instrument twice.
    Corruption("regime of a region of another case", copy_of(REGIMES, THAT_REGIME, region="'us'"), CASE, {"entity_or_region": "us", "as_of_date": DAY}),
    # `regime region add` gave it since.
    Corruption("weight changed after the vote", "update runtime.regions set weight = 3 where region = 'US'", OF_TODAY, VOTE),
    # `regime region remove` keeps its rows.
    Corruption("region with rows that is no region", "delete from runtime.regions where region = 'US'", "regions_are_known", REGIME),
)  # fmt: skip
