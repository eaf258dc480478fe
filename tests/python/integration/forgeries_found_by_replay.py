"""Consistent forgeries of the finished database of test_mutations: every hash is recomputed, and what
they say follows from the rows beside them. Only a computation from the prices contradicts them.
"""

from dataclasses import dataclass, field
from datetime import date

from corruptions import (
    CHANGE,
    DAY,
    OF_PROTOTYPE,
    OF_SEED_RULE,
    THAT_EMBEDDING,
    THAT_MODEL,
    THAT_REGIME,
    THAT_VOTE,
    embedding_hash,
    forged,
    forged_embedding,
    other_number,
)
from stored import EMBEDDINGS, FEATURES, MODELS, REGIMES, RUNS, TRANSITIONS

from regime_engine.database import row_hash
from regime_engine.engine.replay import Request
from regime_engine.model_versions import COLUMNS

US, US_TECH, VOTE = ({"region": name, "as_of_date": DAY} for name in ("US", "US_TECH", "GLOBAL"))
EMBEDDING = {"entity_id": "GSPC.INDX", "as_of_date": DAY}
MODEL = {"region": "US", "version": "2"}
IN_MAY = date(2010, 5, 1)
ONLY_US = Request(("US",), IN_MAY)
ONLY_US_TECH = Request(("US_TECH",), IN_MAY)
ONLY_GLOBAL = Request(("GLOBAL",), IN_MAY)
FITS_OF_US = Request(("US",), date(2009, 1, 1), fits=True)


@dataclass(frozen=True)
class Forgery:
    """sql: statements; table, row, column: of a difference that the replay of `request` names"""

    name: str
    sql: list[str]
    table: str
    row: dict[str, str]
    column: str
    request: Request = field(default=ONLY_US)


def forged_vector(number: int, value: float, condition: str = THAT_EMBEDDING) -> list[str]:
    """A number of an embedding and of the regimes that were classified from it."""
    of_regime = condition.replace("entity_id", "instrument_id")
    return [
        *forged_embedding(f"vector = {other_number(number, value)}", condition),
        *forged(
            f"regime_embedding = {other_number(number, value).replace('vector', 'regime_embedding')}",
            f"{of_regime} and region <> 'GLOBAL'",
        ),
    ]


def forged_model(change: str, condition: str = THAT_MODEL) -> list[str]:
    """A model version changed by someone who knows how its hash is made."""
    hashed = row_hash(", ".join(COLUMNS)).as_string()  # type: ignore[arg-type]
    return [
        f"update {MODELS} set {change} where {condition}",
        f"update {MODELS} set parameters_hash = {hashed} where {condition}",
    ]


def to_the_power(exponent: float) -> str:
    """The filtered probabilities to a power, and the probabilities that follow from them."""
    powers = f"""(
        select jsonb_object_agg(key, power(value::float8, {exponent}) / total)
        from jsonb_each_text(metadata -> 'filtered')
        cross join (
            select sum(power(value::float8, {exponent})) as total
            from jsonb_each_text(metadata -> 'filtered')
        ) as summed
    )"""
    calibrated = f"""(
        select jsonb_object_agg(key, power(value::float8, (metadata ->> 'beta')::float8) / total)
        from jsonb_each_text({powers})
        cross join (
            select sum(power(value::float8, (metadata ->> 'beta')::float8)) as total
            from jsonb_each_text({powers})
        ) as summed
    )"""
    return f"""
        probabilities = {calibrated},
        confidence = ({calibrated} ->> regime_label)::float8,
        metadata = metadata || jsonb_build_object('filtered', {powers})
    """


VECTOR_OF_DAY_BEFORE = (
    f"(select vector from {EMBEDDINGS} where {THAT_EMBEDDING.replace(DAY, '2010-05-19')})"
)
FORGERIES = (
    Forgery("volatility in a vector, in both tables", forged_vector(260, -3.5), "numeric_window_embeddings", EMBEDDING, "vector.260"),
    Forgery("volatility in a vector, and the regime of it", forged_vector(260, -3.5), "regimes", US, "regime_embedding.260"),
    Forgery("Fourier feature of a vector", forged_vector(370, 0.01), "numeric_window_embeddings", EMBEDDING, "vector.370"),
    Forgery("vector and window hash of prices that never were", forged_vector(260, -3.5) + forged_embedding("window_hash = reverse(window_hash)"), "numeric_window_embeddings", EMBEDDING, "vector.260"),
    Forgery("window hash alone", forged_embedding("window_hash = reverse(window_hash)"), "numeric_window_embeddings", EMBEDDING, "window_hash"),
    Forgery("vector of a prototype's day", forged_vector(260, -3.5, THAT_EMBEDDING.replace("GSPC", "IXIC")), "regimes", US_TECH, "regime_embedding.260", ONLY_US_TECH),
    Forgery("feature of one window, its hash and its embedding", [
            f"update {FEATURES} set relative_log_volume = 1, feature_hash = feature_hash + 1 where instrument_id = 'GSPC.INDX' and trade_date = '{DAY}'",
            *forged_vector(188, 1),
            ], "numeric_window_embeddings", EMBEDDING, "vector.188"),
    Forgery("probabilities and what they are computed from", forged(to_the_power(1.1)), "regimes", US, "confidence"),
    Forgery("probability with more digits than a number has", forged("""
            probabilities = jsonb_set(probabilities, '{CARRY}', to_jsonb((probabilities ->> 'CARRY')::numeric + 1e-30))
            """), "regimes", US, "probabilities.CARRY"),
    Forgery("novelty", forged("metadata = metadata || '{\"novelty\": 50.5}'"), "regimes", US, "metadata.novelty"),
    Forgery("weight of the volume", forged("metadata = metadata || '{\"volume_weight\": 0.2}'"), "regimes", US, "metadata.volume_weight"),
    Forgery("expected volatility", forged("expected_volatility = expected_volatility * 1.01"), "regimes", US, "expected_volatility"),
    Forgery("expected volatility and its days a year", forged("""
            expected_volatility = expected_volatility * sqrt(302.0 / 252),
            metadata = metadata || '{"trading_days_a_year": 302}'
            """), "regimes", US, "expected_volatility"),
    Forgery("change of label a day later, and its transition", [
            *forged(f"""
            regime_label = (select from_regime_label from {TRANSITIONS} where region = 'US' and as_of_date = '{CHANGE}'),
            runner_up_label = regime_label,
            confidence = (probabilities ->> (select from_regime_label from {TRANSITIONS} where region = 'US' and as_of_date = '{CHANGE}'))::float8
            """, THAT_REGIME.replace(DAY, CHANGE)),
            f"update {TRANSITIONS} set as_of_date = '2010-05-07', previous_as_of_date = '{CHANGE}' where region = 'US' and as_of_date = '{CHANGE}'",
            ], "regime_transitions", {"region": "US", "as_of_date": "2010-05-07"}, "to_regime_label"),
    Forgery("distances to the prototypes, and their novelty", forged("""
            metadata = metadata || '{"novelty": 1.5}'
            """, OF_PROTOTYPE), "regimes", US_TECH, "metadata.novelty", ONLY_US_TECH),
    Forgery("regime of the seed rule though a model was valid", forged(f"""
            model_version = 0, regime_label = 'NEUTRAL', confidence = 1, probabilities = '{{"NEUTRAL": 1.0}}',
            runner_up_label = null, expected_volatility = null,
            metadata = (select metadata from {REGIMES} where {OF_SEED_RULE} and region = 'US') || jsonb_build_object(
                'first_trade_date', metadata ->> 'first_trade_date', 'last_trade_date', metadata ->> 'last_trade_date')
            """), "regimes", US, "model_version"),
    Forgery("regime of the seed rule with a number of its own", forged("metadata = metadata || '{\"novelty\": 7}'", OF_SEED_RULE), "regimes", US | {"as_of_date": "2007-10-01"}, "metadata.novelty", Request(("US",), date(2007, 10, 1))),
    Forgery("price in the window of a Sunday", forged_vector(183, 1130.5, "model_id = 'num-regime-core-v1'"), "numeric_window_embeddings", EMBEDDING | {"as_of_date": "2010-09-05"}, "vector.183"),
    Forgery("window of the day before, told as its own", [
            f"update {EMBEDDINGS} as t set vector = {VECTOR_OF_DAY_BEFORE} where {THAT_EMBEDDING}",
            f"update {EMBEDDINGS} as t set row_hash = {embedding_hash()} where {THAT_EMBEDDING}",
            *forged(f"regime_embedding = {VECTOR_OF_DAY_BEFORE}"),
            ], "regimes", US, "regime_embedding.0 and"),
    Forgery("model's parameters, which the regimes are not by", forged_model("parameters = jsonb_set(parameters, '{scale}', '0.02')", THAT_MODEL.replace("2", "3")), "regimes", US, "expected_volatility"),
    Forgery("model that no classifier can read", forged_model("parameters = parameters - 'scale'", THAT_MODEL.replace("2", "3")), "regimes", US, "model_version"),
    Forgery("prototypes' temperature of 0", forged_model("parameters = jsonb_set(parameters, '{temperature}', '0')", "region = 'US_TECH'"), "regimes", US_TECH, "confidence", Request(("US_TECH", "GLOBAL"), IN_MAY)),
    Forgery("novelty, by a run whose parameters are none", [
            *forged("metadata = metadata || '{\"novelty\": 50.5}'"),
            f"update {RUNS} set parameters = '[]'",
            ], "regimes", US, "metadata.novelty"),
    Forgery("vote's dates", forged("metadata = metadata || '{\"first_trade_date\": \"2010-01-04\"}'", THAT_VOTE), "regimes", VOTE, "metadata.first_trade_date", ONLY_GLOBAL),
    Forgery("vote said to be in sample", forged("metadata = metadata || '{\"in_sample\": true}'", THAT_VOTE), "regimes", VOTE, "metadata.in_sample", ONLY_GLOBAL),
    Forgery("vote by other weights", forged("metadata = jsonb_set(metadata, '{constituents, 0, weight}', '9')", THAT_VOTE), "regimes", VOTE, "metadata.constituents.0.weight", ONLY_GLOBAL),
    Forgery("vote of a regime by another run", forged("metadata = jsonb_set(metadata, '{constituents, 0, run_id}', to_jsonb(run_id::text))", THAT_VOTE), "regimes", VOTE, "metadata.constituents.0.run_id", ONLY_GLOBAL),
    Forgery("vote of a forged regime", forged_vector(260, -3.5) + forged("expected_volatility = expected_volatility * 2"), "regimes", US, "expected_volatility", Request(("US", "GLOBAL"), IN_MAY)),
    Forgery("model's score", forged_model("metrics = metrics || '{\"held_out_log_score\": 9}'"), "regime_models", MODEL, "metrics.held_out_log_score", FITS_OF_US),
    Forgery("model's doubt taken away", forged_model("metrics = metrics || '{\"doubts\": {}}'"), "regime_models", MODEL, "metrics.doubts", FITS_OF_US),
    Forgery("first valid day of a model", forged_model("valid_from = '2009-02-03'"), "regime_models", MODEL, "valid_from", FITS_OF_US),
    Forgery("training hash of a model", forged_model("training_hash = reverse(training_hash)"), "regime_models", MODEL, "training_hash", Request(("US",), date(2008, 1, 1), fits=True)),
)  # fmt: skip
