"""Forgeries of runs, revisions and models, and what follows from them: by someone who knows the schema
and recomputes every hash."""

from corruptions import (
    AGREE,
    AS_ASKED,
    DAY,
    FAILED_RUN,
    MODEL,
    OTHER_DAY,
    REGIME,
    REVISED,
    SECOND_BACKFILL,
    THAT_MODEL,
    THAT_REGIME,
    THAT_REVISION,
    THAT_VOTE,
    VOTE,
    VOTED,
    WAS_IN_FORCE,
    Corruption,
    copy_of,
    forged,
    other,
)
from stored import EMBEDDINGS, FEATURES, MODELS, REGIMES, REVISIONS, RUNS

from regime_engine.database import row_hash
from regime_engine.model_versions import COLUMNS
from regime_engine.runs import ROW_HASH
from regime_engine.store.regimes import REGIME_HASH
from regime_engine.store.rows import REVISION_HASH

FOLLOW = "runs_follow_each_other"
PARAMETERS = "runs_have_the_parameters_of_their_command"
WRITTEN_FOR = "embeddings_have_the_regime_they_were_written_for"
NUMBERED = "model_versions_follow_each_other"
OF_CLASSIFIER = "models_have_the_parameters_of_their_classifier"

BACKFILL = {"command": "backfill"}
OLD_REGIME = {"table_name": "regimes"}
FIT_OF_US = "command = 'fit' and parameters ->> 'region' = 'US'"
BACKFILL_OF_US_TECH = "command = 'backfill' and parameters ->> 'region' = 'US_TECH' and model_id = 'num-regime-core-v3'"
FIRST_RUN = "previous_run_id is null"
VOTING = "command = 'global'"
OF_PROTOTYPES = "region = 'US_TECH' and version = 1"
PROTOTYPES = {"region": "US_TECH", "version": "1"}
REVISED_EMBEDDING = (
    "table_name = 'numeric_window_embeddings' and key ->> 'as_of_date' = '2010-06-15'"
)
UNSEALED = {"run_id": "gen_random_uuid()", "seal_number": "null::bigint", "seal": "null::text"}
LAST_END = f"(select max(finished_at) from {RUNS})"


def forged_run(change: str, condition: str = SECOND_BACKFILL) -> list[str]:
    """The run changed, with its hash. condition: not on a column that changes"""
    return [
        f"update {RUNS} set {change} where {condition}",
        f"update {RUNS} set row_hash = {ROW_HASH.as_string()}",
    ]


def forged_model(change: str, condition: str = THAT_MODEL) -> list[str]:
    """The model version changed, with its hash."""
    parameters_hash = row_hash(", ".join(COLUMNS)).as_string()
    return [
        f"update {MODELS} set {change} where {condition}",
        f"update {MODELS} set parameters_hash = {parameters_hash}",
    ]


def added_model(condition: str = THAT_MODEL, **changes: str) -> list[str]:
    """Another version with its hash, which its run has counted."""
    return [
        copy_of(MODELS, condition, **changes),
        *forged_model("version = version", "version = 4"),
        *forged_run("rows_written = '{\"regime_models\": 4}'", FIT_OF_US),
    ]


def forged_revision(change: str, condition: str = THAT_REVISION) -> list[str]:
    """The revision changed, with its hash."""
    return [
        f"update {REVISIONS} set {change} where {condition}",
        f"update {REVISIONS} set row_hash = {REVISION_HASH.as_string()}",
    ]


def forged_old_row(values: str, condition: str = THAT_REVISION) -> list[str]:
    """The kept row changed, with its own hash and that of the revision. values: a JSON object"""
    own_hash = REGIME_HASH.as_string()
    return forged_revision(
        f"""
        old_row = old_row || {values} || (
            select jsonb_build_object('row_hash', {own_hash})
            from jsonb_populate_record(null::{REGIMES}, old_row || {values})
        )
        """,
        condition,
    )


def run_of(condition: str) -> str:
    return other(RUNS, "run_id", condition)


def fault(text: str) -> dict[str, str]:
    return {"fault": text}


def lacks(parameter: str) -> dict[str, str]:
    return fault(f"the parameter {parameter} is missing or of the wrong kind")


# The hash of the training of version 2 of US without its first 30 days.
SHORTER_TRAINING = f"""
    with

    until as (

        select
            trade_date,
            day_number,
            bit_xor(feature_hash) over (order by trade_date) as hash_until
        from {FEATURES}
        where instrument_id = 'GSPC.INDX'

    ),

    windows as (

        select
            last.trade_date as day,
            lpad(to_hex(last.hash_until # coalesce(before.hash_until, 0)), 16, '0') as window_hash
        from until as last
        left join until as before on last.day_number - 63 = before.day_number
        where last.trade_date between '2006-02-15' and '2008-12-31'

    )

    update {MODELS}
    set
        (trained_from, n_windows, training_hash) = (
            select
                min(day),
                count(*),
                encode(sha256(convert_to(
                    string_agg(' ' || day || ' ' || window_hash || e'\\n', '' order by day), 'UTF8'
                )), 'hex')
            from windows
        )
    where {THAT_MODEL}
"""

FORGERIES = (
    Corruption("a second first run", forged_run("previous_run_id = null"), FOLLOW, BACKFILL | fault("it names no run before it, and there is one")),
    Corruption("run that follows a later one", forged_run(f"previous_run_id = {run_of(VOTING)}"), FOLLOW, BACKFILL | fault("the run before it began later")),
    Corruption("run that passes over another", forged_run(f"previous_run_id = {run_of(FIRST_RUN)}"), FOLLOW, BACKFILL | fault("another run began between it and the run before it")),
    Corruption("run that ends in the future", forged_run("finished_at = now() + interval '1 hour'"), FOLLOW, BACKFILL | fault("it ends in the future")),
    Corruption("run that begins in the future", forged_run("started_at = now() + interval '1 hour', finished_at = now() + interval '2 hours'", VOTING), FOLLOW, {"command": "global", "fault": "it begins in the future"}),
    Corruption("run added between two others", [copy_of(RUNS, FAILED_RUN, **UNSEALED, started_at="started_at + interval '1 millisecond'"), *forged_run("host = host")], FOLLOW, BACKFILL | fault("another run began between it and the run before it")),
    Corruption("run of no command", forged_run("command = 'recompute'", FAILED_RUN), PARAMETERS, {"command": "recompute", "fault": "there is no such command"}),
    *(
        Corruption(f"run without its {name}", forged_run(f"parameters = parameters - '{name}'"), PARAMETERS, BACKFILL | lacks(name))
        for name in ("region", "window_days", "start", "model_version")
    ),
    Corruption("run's start a word", forged_run("parameters = parameters || '{\"start\": \"soon\"}'"), PARAMETERS, BACKFILL | lacks("start")),
    Corruption("run's start a day that no year has", forged_run("parameters = parameters || '{\"start\": \"2010-02-30\"}'"), PARAMETERS, BACKFILL | lacks("start")),
    Corruption("run's window length a text", forged_run("parameters = parameters || '{\"window_days\": \"63\"}'"), PARAMETERS, BACKFILL | lacks("window_days")),
    Corruption("run with a parameter of another command", forged_run("parameters = parameters || '{\"as_of\": \"2010-05-20\"}'"), PARAMETERS, BACKFILL | fault("it has a parameter that the command does not take")),
    Corruption("run's parameters a list", forged_run("parameters = '[]'"), PARAMETERS, BACKFILL | fault("the parameters are no object")),
    Corruption("run of another model than it says", forged_run("model_id = 'num-regime-core-v2'", FAILED_RUN), PARAMETERS, BACKFILL | fault("its model_id is not that of its parameters")),
    Corruption("run's count a text", forged_run("rows_written = rows_written || '{\"regimes\": \"821\"}'"), PARAMETERS, BACKFILL | fault("it counts rows that the command does not write")),
    Corruption("run that counts rows of another command", forged_run("rows_written = rows_written || '{\"regime_models\": 0}'"), PARAMETERS, BACKFILL | fault("it counts rows that the command does not write")),
    Corruption("run that is said to have removed rows", forged_run("rows_removed = '{}'"), PARAMETERS, BACKFILL | fault("it removed rows as no run of the command does")),
    Corruption("run that is said to have forgotten nothing", forged_run("rows_removed = null", "command = 'forget'"), PARAMETERS, {"command": "forget"}),
    Corruption("run with failures of no instrument", forged_run("failures = '{}'"), PARAMETERS, BACKFILL | fault("it names instruments that failed as no run of the command does")),
    Corruption("run of no package version", forged_run("package_version = ''"), PARAMETERS, BACKFILL | fault("it does not say which version of the package ran")),
    Corruption("run of nobody", forged_run("database_user = ' '"), PARAMETERS, BACKFILL | fault("it does not say who ran it")),
    Corruption("run that failed without a reason", forged_run("error = ''", FAILED_RUN), PARAMETERS, BACKFILL | fault("it does not say why it failed")),
    Corruption("vote without its weights", forged_run("parameters = parameters - 'weights'", VOTING), PARAMETERS, {"command": "global"} | lacks("weights")),
    Corruption("vote with a negative weight", forged_run("parameters = jsonb_set(parameters, '{weights, US}', '-1')", VOTING), PARAMETERS, {"command": "global"} | lacks("weights")),
    Corruption("fit of windows that nobody could label", forged_run("parameters = parameters || '{\"windows\": [\"CARRY\"]}'", FIT_OF_US), PARAMETERS, {"command": "fit"} | lacks("windows")),
    Corruption("region added with a weight that is a word", [
            copy_of(RUNS, VOTING, **UNSEALED, command="'region add'", model_id="null::text", rows_written="'{}'::jsonb",
                    parameters="'{\"region\": \"EU\", \"instrument_id\": \"STOXX\", \"weight\": \"much\", \"description\": null, \"model_id\": null}'::jsonb",
                    started_at="now()", finished_at="now()", previous_run_id="run_id"),
            *forged_run("host = host"),
            ], PARAMETERS, {"command": "region add"} | lacks("weight")),
    Corruption("run without its instrument, and a regime of another", [*forged_run("parameters = parameters - 'instrument_id'"), *forged("instrument_id = 'IXIC.INDX'")], AGREE, REGIME | fault("the run was of another instrument")),
    Corruption("run without its region, and a regime of another", [*forged_run("parameters = parameters - 'region'"), f"update {REGIMES} set region = 'EU' where {THAT_REGIME}"], AGREE, REGIME | {"region": "EU", "fault": "the run was of another region"}),
    Corruption("run whose dates are gone", forged_run("parameters = parameters - 'start'"), AGREE, REGIME | fault("the run was of other dates")),
    Corruption("run said to have been asked for a version", forged_run("parameters = parameters || '{\"model_version\": 2}'"), AGREE, REGIME | fault("the run was not asked for this model version")),
    Corruption("regime of a run that fitted", f"update {REGIMES} set run_id = {run_of(FIT_OF_US)} where {THAT_REGIME}", AGREE, REGIME | fault("the run writes no such rows")),
    Corruption("embedding of a run that voted", f"update {EMBEDDINGS} set run_id = {run_of(VOTING)} where entity_id = 'GSPC.INDX' and as_of_date = '{DAY}'", AGREE, {"instrument_id": "GSPC.INDX", "as_of_date": DAY, "fault": "the run writes no such rows"}),
    Corruption("model stored after the regimes that it classified", [
            f"update {MODELS} set created_at = {LAST_END} where region = 'US'",
            *forged_run(f"finished_at = {LAST_END}", FIT_OF_US),
            ], AGREE, REGIME | fault("its model version was stored later")),
    Corruption("model stored before its run", f"update {MODELS} set created_at = created_at - interval '1 day' where {THAT_MODEL}", AGREE, MODEL | fault("the run was not under way when the row was written")),
    Corruption("run's success edited away, with its hash", forged_run("status = 'FAILED', error = 'Killed'"), "rows_have_a_run_that_succeeded", {"entity_or_region": "US", "as_of_date": DAY, "run_status": "FAILED"}),
    Corruption("regime deleted with its embedding and their counts", [
            f"delete from {REGIMES} where region = 'US_TECH' and as_of_date = '{DAY}'",
            f"delete from {EMBEDDINGS} where entity_id = 'IXIC.INDX' and as_of_date = '{DAY}'",
            *forged_run("rows_written = rows_written || '{\"regimes\": 465, \"numeric_window_embeddings\": 465}'", BACKFILL_OF_US_TECH),
            ], WRITTEN_FOR, {"region": "US_TECH", "as_of_date": DAY}),
    Corruption("revised label edited, with the revision's hash", forged_revision("old_row = jsonb_set(old_row, '{regime_label}', '\"CARRY\"')"), REVISED, OLD_REGIME | fault("the row was edited")),
    Corruption("revised evidence edited, with the revision's hash", forged_revision("old_row = jsonb_set(old_row, '{metadata, novelty}', '1')"), REVISED, OLD_REGIME | fault("the row was edited")),
    Corruption("revised confidence edited, with the revision's hash", forged_revision("old_row = jsonb_set(old_row, '{confidence}', '0.5')"), REVISED, OLD_REGIME | fault("the confidence of the row was edited")),
    Corruption("revised vector edited, with the revision's hash", forged_revision(r"old_row = old_row || jsonb_build_object('vector', overlay(old_row ->> 'vector' placing '00' from 101))", REVISED_EMBEDDING), REVISED, {"table_name": "numeric_window_embeddings", "fault": "the row was edited"}),
    Corruption("revised window_hash edited, with the revision's hash", forged_revision("old_row = old_row || '{\"window_hash\": \"0123456789abcdef\"}'", REVISED_EMBEDDING), REVISED, {"table_name": "numeric_window_embeddings", "fault": "the row was edited"}),
    Corruption("column taken out of a revised row", forged_revision("old_row = old_row - 'metadata'"), REVISED, OLD_REGIME | fault("the row has no metadata of its kind")),
    Corruption("column added to a revised row", forged_revision("old_row = old_row || '{\"note\": \"\"}'"), REVISED, OLD_REGIME | fault("the row has a column that the table has not")),
    Corruption("number of a revised row made a text", forged_revision("old_row = old_row || '{\"model_version\": \"3\"}'"), REVISED, OLD_REGIME | fault("the row has no model_version of its kind")),
    Corruption("vector of a revised row made no bytes", forged_revision("old_row = old_row || '{\"regime_embedding\": \"none\"}'"), REVISED, OLD_REGIME | fault("the row has no regime_embedding of its kind")),
    Corruption("revision of a key in part", forged_revision("key = key - 'region'"), REVISED, OLD_REGIME | fault("the row has another key")),
    Corruption("revision of a table that has none", forged_revision("table_name = 'regime_transitions'"), REVISED, {"table_name": "regime_transitions", "fault": "rows of that table are not revised"}),
    Corruption("revised row written after it was replaced", forged_revision("old_row = old_row || jsonb_build_object('created_at', revised_at + interval '1 second')"), REVISED, OLD_REGIME | fault("the row was written after it was replaced")),
    Corruption("revised row of the run that replaced it", forged_revision("old_row = old_row || jsonb_build_object('run_id', new_run_id)"), REVISED, OLD_REGIME | fault("the run that wrote the row is the one that replaced it")),
    Corruption("revision made after the row that replaced it", forged_revision("revised_at = (select finished_at from runtime.regime_runs where run_id = new_run_id)"), REVISED, OLD_REGIME | fault("the row that replaced it was written before")),
    Corruption("revision by a run of another region", forged_revision(f"new_run_id = {run_of(BACKFILL_OF_US_TECH)}"), AGREE, {"what": "it was replaced", "as_of_date": "2010-06-15", "fault": "the run was of another region"}),
    Corruption("revised row of a run of another region", forged_revision(f"old_row = old_row || jsonb_build_object('run_id', {run_of(BACKFILL_OF_US_TECH)})"), AGREE, {"what": "it was stored", "as_of_date": "2010-06-15", "fault": "the run was of another region"}),
    Corruption("revised row of another time", forged_revision("old_row = old_row || jsonb_build_object('created_at', revised_at - interval '1 year')"), AGREE, {"what": "it was stored", "as_of_date": "2010-06-15", "fault": "the run was not under way when the row was written"}),
    Corruption("revised row of a version that there is not", forged_old_row("'{\"model_version\": 7}'"), AGREE, {"what": "it was stored", "version": "7", "fault": "its model version is gone"}),
    Corruption("revised row by the seed rule though a model was valid", forged_old_row("'{\"model_version\": 0}'"), WAS_IN_FORCE, {"as_of_date": "2010-06-15", "is_revised": "True"}),
    Corruption("regime by the seed rule though a model was valid, with its hash", forged("model_version = 0"), WAS_IN_FORCE, REGIME),
    Corruption("regime by an older version, with its hash", forged("model_version = 1"), WAS_IN_FORCE, REGIME),
    Corruption("model inserted in the past", added_model(version="4", valid_from="'2010-06-01'"), NUMBERED, MODEL | {"version": "4", "fault": "it was stored before the version before it"}),
    Corruption("model inserted off the schedule", added_model(version="4", valid_from="'2010-06-01'", created_at="created_at + interval '1 second'"), AS_ASKED, MODEL | {"version": "4", "fault": "its first valid day is not of the schedule of its run"}),
    Corruption("model inserted in place of another", added_model(version="4", created_at="created_at + interval '1 second'"), NUMBERED, MODEL | {"version": "4", "fault": "it is valid before the version that its run stored before it"}),
    Corruption("models exchanged in time", f"update {MODELS} set created_at = created_at + interval '1 second' * (2 - version) where region = 'US'", NUMBERED, {"region": "US", "fault": "it was stored before the version before it"}),
    Corruption("version of a number far off", forged_model("version = 2000000000", "region = 'US' and version = 3"), NUMBERED, {"region": "US", "version": "3", "fault": "the version is missing"}),
    Corruption("training's end edited, with the model's hash", forged_model("trained_to = trained_to - 30"), AS_ASKED, MODEL | fault("its training is of other days than it says")),
    Corruption("training's begin edited, with the model's hash", forged_model("trained_from = trained_from + 30"), AS_ASKED, MODEL | fault("its training is of other days than it says")),
    Corruption("number of training windows edited, with the model's hash", forged_model("n_windows = n_windows + 1"), AS_ASKED, MODEL | fault("its training is of other days than it says")),
    Corruption("training hash edited, with the model's hash", forged_model("training_hash = encode(sha256('x'), 'hex')"), AS_ASKED, MODEL | fault("it was trained on other windows than the other versions of its run")),
    Corruption("training shortened, with its hash and the model's", [SHORTER_TRAINING, *forged_model("version = version")], AS_ASKED, MODEL),
    Corruption("training on days to come, with the model's hash", forged_model("trained_to = valid_from + 30"), AS_ASKED, MODEL | fault("it was trained on days of its own future")),
    Corruption("valid_from moved earlier, with the model's hash", forged_model("valid_from = valid_from - 60"), AS_ASKED, MODEL | fault("it was trained on days of its own future")),
    Corruption("valid_from moved later, with the model's hash", forged_model("valid_from = valid_from + 31"), AS_ASKED, MODEL | fault("its first valid day is not of the schedule of its run")),
    Corruption("valid_from of prototypes moved earlier, with the model's hash", forged_model("valid_from = valid_from - 20", OF_PROTOTYPES), AS_ASKED, PROTOTYPES | fault("its run was asked for another first valid day")),
    Corruption("training of prototypes edited, with the model's hash", forged_model("trained_from = trained_from - 20", OF_PROTOTYPES), AS_ASKED, PROTOTYPES | fault("its training is of other days than it says")),
    Corruption("labels exchanged, with the model's hash", forged_model("labels = array['CRISIS', 'NEUTRAL', 'RISK_OFF', 'CARRY']"), AS_ASKED, MODEL | fault("its labels are not those that its run was asked for")),
    Corruption("labels of prototypes exchanged, with the model's hash", forged_model("labels = array['CRISIS', 'CARRY']", OF_PROTOTYPES), AS_ASKED, PROTOTYPES | fault("its labels are not those that its run was asked for")),
    Corruption("fit said to have chosen its states", forged_run("parameters = parameters || '{\"states\": null}'", FIT_OF_US), AS_ASKED, MODEL | fault("its number of states was chosen or given otherwise than its run says")),
    Corruption("label twice, with the model's hash", forged_model("labels = array['CARRY', 'CARRY', 'RISK_OFF', 'CRISIS']"), OF_CLASSIFIER, MODEL | fault("it has a label twice, or none")),
    *(
        Corruption(f"{name}, with the model's hash", forged_model(f"parameters = {parameters}"), OF_CLASSIFIER, MODEL | fault(found))
        for name, parameters, found in (
            ("parameter made a text", "jsonb_set(parameters, '{experts, 0, nu}', '\"7\"')", "a parameter is no number"),
            ("parameter made null", "jsonb_set(parameters, '{beta}', 'null')", "a parameter is no number"),
            ("parameter removed", "parameters - 'hysteresis'", "it has no number hysteresis"),
            ("parameters of another encoder", "jsonb_set(parameters, '{model_id}', '\"num-regime-core-v2\"')", "its parameters are of another encoder"),
            ("power of the probabilities below 0", "jsonb_set(parameters, '{beta}', '-1')", "a number is outside its range"),
            ("state too many", "jsonb_set(parameters, '{experts, 0, mu, 4}', '0')", "an expert has no mu of its labels"),
            ("expert without a matrix", "parameters #- '{experts, 0, transition_matrix}'", "an expert has no transition_matrix of its labels"),
            ("row of a matrix cut short", "parameters #- '{experts, 0, transition_matrix, 1, 3}'", "an expert has a number that is no probability or no deviation"),
            ("matrix whose rows do not sum to 1", "jsonb_set(parameters, '{experts, 0, transition_matrix, 0, 1}', '0.5')", "a row of the transition matrix of expert 1 does not sum to 1"),
            ("probability above 1", "jsonb_set(parameters, '{experts, 0, transition_matrix, 0, 0}', '1.5')", "an expert has a number that is no probability or no deviation"),
            ("initial probabilities edited", "jsonb_set(parameters, '{experts, 0, initial, 0, 0}', '0.9')", "the initial probabilities of expert 1 do not sum to 1"),
            ("states out of order", "jsonb_set(parameters, '{experts, 0, sigma, 0}', '9')", "the states of expert 1 are not in order of their volatility"),
            ("share of an expert", "jsonb_set(parameters, '{experts, 0, share}', '0.123')", "the shares of the experts do not sum to 1"),
            ("persistence of 1", "jsonb_set(parameters, '{volatility, persistence}', '1')", "its volatility has a number outside its range"),
            ("percentiles that fall", "jsonb_set(parameters, '{typical, size, 100}', '-99')", "typical.size does not rise"),
            ("context removed", "parameters - 'context'", "it has a recurrent expert or a context without the other"),
        )
    ),
    Corruption("centre of a prototype removed, with the model's hash", forged_model("parameters = parameters #- '{centers, 1}'", OF_PROTOTYPES), OF_CLASSIFIER, PROTOTYPES | fault("its centres are not of its labels")),
    Corruption("centre of a prototype cut short, with the model's hash", forged_model("parameters = parameters #- '{centers, 1, 3}'", OF_PROTOTYPES), OF_CLASSIFIER, PROTOTYPES | fault("its centres are not of the dimension of its encoder")),
    Corruption("temperature of 0, with the model's hash", forged_model("parameters = jsonb_set(parameters, '{temperature}', '0')", OF_PROTOTYPES), OF_CLASSIFIER, PROTOTYPES | fault("it has no temperature above 0")),
    Corruption("vote on another label, with its hash", forged("metadata = jsonb_set(metadata, '{constituents, 0, regime_label}', '\"CRISIS\"')", THAT_VOTE), VOTED, VOTE | fault("the regime that was voted on had another label")),
    Corruption("vote on another volatility, with its hash", forged("metadata = jsonb_set(metadata, '{constituents, 0, expected_volatility}', '0.9')", THAT_VOTE), VOTED, VOTE | fault("the regime that was voted on had another expected volatility")),
    Corruption("vote on other probabilities, with its hash", forged(r"regime_embedding = overlay(regime_embedding placing '\x0000803f' from 1)", THAT_VOTE), VOTED, VOTE | fault("the regime that was voted on had other probabilities")),
    Corruption("vote with another weight, with its hash", forged("metadata = jsonb_set(metadata, '{constituents, 0, weight}', '9')", THAT_VOTE), VOTED, VOTE | fault("the run voted with another weight")),
    Corruption("vote without a region, with its hash", forged("metadata = metadata #- '{constituents, 1}'", THAT_VOTE), VOTED, VOTE | fault("a regime that was there was not voted on")),
    Corruption("vote on a regime of no run, with its hash", forged("metadata = jsonb_set(metadata, '{constituents, 0, run_id}', to_jsonb(gen_random_uuid()))", THAT_VOTE), VOTED, VOTE | fault("no such regime was stored, nor replaced")),
    Corruption("vote on the regime of the day before, with its hash", forged("metadata = jsonb_set(metadata, '{constituents, 0, as_of_date}', '\"2010-05-19\"')", THAT_VOTE), VOTED, VOTE | fault("a regime that was there was not voted on")),
    Corruption("vote on a regime of its future, with its hash", forged(f"metadata = jsonb_set(metadata, '{{constituents, 0, as_of_date}}', '\"{OTHER_DAY}\"')", THAT_VOTE), VOTED, VOTE | fault("a regime is too old to be voted on, or of a later day")),
    Corruption("vote deleted, with its count", [
            f"delete from {REGIMES} where {THAT_VOTE}",
            *forged_run("rows_written = jsonb_set(rows_written, '{regimes}', to_jsonb((rows_written ->> 'regimes')::integer - 1))", VOTING),
            ], VOTED, VOTE | fault("the day has no vote")),
)  # fmt: skip
