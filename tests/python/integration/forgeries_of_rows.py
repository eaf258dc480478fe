"""Regimes, embeddings and votes forged by someone who recomputes the hashes of the rows."""

from corruptions import (
    CONFIDENCE,
    DAY,
    EMBEDDING,
    MEANS,
    OF_PROTOTYPE,
    OF_SEED_RULE,
    OF_WINDOWS,
    OTHER_DAY,
    PROBABILITIES,
    REGIME,
    THAT_EMBEDDING,
    THAT_REGIME,
    THAT_VOTE,
    VOLATILITY,
    VOTE,
    WINDOWS,
    Corruption,
    copy_of,
    forged,
    forged_embedding,
    other_number,
)
from stored import REGIMES, TRANSITIONS

EVIDENCE = "regimes_have_their_evidence"
PROTOTYPES = "prototypes_are_as_far_as_stored"
PROTOTYPE = REGIME | {"region": "US_TECH"}
SEED_RULE = REGIME | {"as_of_date": "2007-10-01"}
OF_V1 = "model_id = 'num-regime-core-v1'"
V1 = {"entity_id": "GSPC.INDX", "as_of_date": "2010-09-05"}
BYTES_OF_V1 = 12 * 63


def metadata(path: str, value: str) -> str:
    """The metadata with another value at a path: a SQL expression."""
    return f"metadata = jsonb_set(metadata, '{{{path}}}', {value})"


def filtered_to_the_power(beta: str) -> str:
    return f"""(
        select jsonb_object_agg(key, value::float8 ^ {beta} / total)
        from jsonb_each_text(metadata -> 'filtered')
        cross join (
            select sum(value::float8 ^ {beta}) as total
            from jsonb_each_text(metadata -> 'filtered')
        ) as whole
    )"""


def in_both_tables(vector: str) -> list[str]:
    """The vector of a window forged where it is stored twice."""
    of_regime = vector.replace("vector", "regime_embedding", 1)
    return [
        *forged_embedding(f"vector = {vector}"),
        *forged(f"regime_embedding = {of_regime}"),
    ]


def dates_in_both_tables(name: str, value: str) -> list[str]:
    return [
        *forged_embedding(f"window_spec = jsonb_set(window_spec, '{{{name}}}', '\"{value}\"')"),
        *forged(metadata(name, f"'\"{value}\"'")),
    ]


FLIPPED = [
    *forged("regime_label = 'CARRY', confidence = (probabilities ->> 'CARRY')::float8, runner_up_label = regime_label"),
    *(
        copy_of(
            TRANSITIONS, "region = 'US' and as_of_date = '2010-05-06'", as_of_date=f"'{day}'",
            previous_as_of_date=f"'{before}'", from_regime_label=before_label, to_regime_label=label,
            from_confidence=f"(select confidence from {REGIMES} where {THAT_REGIME.replace(DAY, before)})",
            to_confidence=f"(select confidence from {REGIMES} where {THAT_REGIME.replace(DAY, day)})",
        )
        for day, before, before_label, label in (
            (DAY, "2010-05-19", f"(select runner_up_label from {REGIMES} where {THAT_REGIME})", "'CARRY'"),
            (OTHER_DAY, DAY, "'CARRY'", f"(select runner_up_label from {REGIMES} where {THAT_REGIME})"),
        )
    ),
]  # fmt: skip
EXCHANGED_FILTERED = """
    metadata = jsonb_set(metadata, '{filtered}', metadata -> 'filtered' || jsonb_build_object(
        'CARRY', metadata -> 'filtered' -> 'CRISIS', 'CRISIS', metadata -> 'filtered' -> 'CARRY'
    ))
"""
# Both constituents have the same weight, so the vote stays the same.
EXCHANGED_VOTERS = """
    metadata = jsonb_set(metadata, '{constituents}', jsonb_build_array(
        metadata -> 'constituents' -> 1, metadata -> 'constituents' -> 0
    )),
    regime_embedding = substr(regime_embedding, 17) || substr(regime_embedding, 1, 16)
"""

FORGERIES = (
    *(
        Corruption(f"{name}, with the row's hash", forged(change), EVIDENCE, REGIME)
        for name, change in (
            ("novelty that is a text", metadata("novelty", "'\"high\"'")),
            ("novelty above 100", metadata("novelty", "'101'")),
            ("novelty below 0", metadata("novelty", "'-1'")),
            ("novelty that double precision cannot hold", metadata("novelty", "'1e400'")),
            ("novelty removed", "metadata = metadata - 'novelty'"),
            ("beta of another model", metadata("beta", "'1.25'")),
            ("beta of 1, with its probabilities", metadata("beta", "'1'") + ", probabilities = metadata -> 'filtered', confidence = (metadata -> 'filtered' ->> regime_label)::float8"),
            ("hysteresis of another model", metadata("hysteresis", "'9'")),
            ("volume weight of another model", metadata("volume_weight", "'0.25'")),
            ("filtered probabilities removed", "metadata = metadata - 'filtered'"),
            ("filtered probabilities that are a number", metadata("filtered", "'1'")),
            ("in_sample that is a text", metadata("in_sample", "'\"false\"'")),
            ("days a year that are a text", metadata("trading_days_a_year", "'\"252\"'")),
            ("version_given that is a text", "metadata = metadata || '{\"version_given\": \"no\"}'"),
            ("evidence that no classifier writes", "metadata = metadata || '{\"checked_by\": \"risk\"}'"),
            ("evidence of a prototype", "metadata = metadata || '{\"temperature\": 1}'"),
            ("metadata that is an array", "metadata = '[]'"),
            ("metadata that is a number", "metadata = '7'"),
            ("last date that is none", metadata("last_trade_date", "'\"yesterday\"'")),
            ("last date that is a number", metadata("last_trade_date", "'20100520'")),
        )
    ),
    *(
        Corruption(f"{name}, with the row's hash", forged(change, OF_SEED_RULE), EVIDENCE, SEED_RULE)
        for name, change in (
            ("temperature of the seed rule", metadata("temperature", "'2'")),
            ("distance of the seed rule", metadata("distances, NEUTRAL", "'0.5'")),
            ("in_sample of the seed rule", metadata("in_sample", "'true'")),
            ("novelty of the seed rule", "metadata = metadata || '{\"novelty\": 5}'"),
            ("label of the seed rule", "regime_label = 'CARRY', probabilities = '{\"CARRY\": 1}'"),
        )
    ),
    Corruption("probability of the seed rule, with the row's hash", forged("probabilities = '{\"NEUTRAL\": 1, \"CRISIS\": 0}', runner_up_label = 'CRISIS'", OF_SEED_RULE), PROBABILITIES, SEED_RULE),
    Corruption("label of the least probable state, with its transitions and the row's hash", FLIPPED, PROBABILITIES, REGIME),
    *(
        Corruption(f"{name}, with the row's hash", forged(change), PROBABILITIES, REGIME)
        for name, change in (
            ("probability that is a text", "probabilities = probabilities || jsonb_build_object('CARRY', probabilities ->> 'CARRY')"),
            ("probabilities that are an array", "probabilities = '[]'"),
            ("probability removed", "probabilities = probabilities - 'CARRY'"),
            ("probability moved to another label", """
                probabilities = probabilities || jsonb_build_object(
                    'CARRY', (probabilities ->> 'CARRY')::float8 / 2,
                    'CRISIS', (probabilities ->> 'CRISIS')::float8 + (probabilities ->> 'CARRY')::float8 / 2
                )
                """),
            ("probabilities to another power", f"probabilities = {filtered_to_the_power('1.1')}"),
            ("filtered probabilities not to their power", "probabilities = metadata -> 'filtered'"),
            ("filtered probabilities exchanged", EXCHANGED_FILTERED),
            ("filtered probability edited", metadata("filtered, CRISIS", "'0.25'")),
            ("filtered probability that is a text", metadata("filtered, CRISIS", "'\"much\"'")),
            ("filtered probability removed", "metadata = metadata #- '{filtered, CARRY}'"),
            ("filtered probability of another label", metadata("filtered, PANIC", "'0'")),
            ("filtered probabilities twice as large", "metadata = jsonb_set(metadata, '{filtered}', (select jsonb_object_agg(key, 2 * value::float8) from jsonb_each_text(metadata -> 'filtered')))"),
        )
    ),
    Corruption("probability that double precision cannot hold, with the row's hash", forged("probabilities = probabilities || '{\"CARRY\": 1e400}'"), PROBABILITIES, REGIME),
    Corruption("confidence of a text, with the row's hash", forged("probabilities = probabilities || jsonb_build_object(regime_label, 'much')"), CONFIDENCE, REGIME),
    *(
        Corruption(f"{name}, with the row's hash", forged(change), VOLATILITY, REGIME)
        for name, change in (
            ("expected volatility a hundred times as large", "expected_volatility = expected_volatility * 100"),
            ("expected volatility a hundredth", "expected_volatility = expected_volatility / 100"),
            ("days a year of a market that never closes, with their volatility", metadata("trading_days_a_year", "'365'") + ", expected_volatility = expected_volatility * sqrt(365.0 / 252)"),
            ("days a year of one less", metadata("trading_days_a_year", "'251'")),
        )
    ),
    *(
        Corruption(f"{name}, with the row's hash", forged(change, OF_PROTOTYPE), PROTOTYPES, PROTOTYPE)
        for name, change in (
            ("distance to a prototype", "metadata = jsonb_set(metadata, array['distances', regime_label], '1')"),
            ("distances to prototypes half as large", "metadata = jsonb_set(metadata, '{distances}', (select jsonb_object_agg(key, value::float8 / 2) from jsonb_each_text(metadata -> 'distances')))"),
            ("distance to a prototype that is a text", "metadata = jsonb_set(metadata, array['distances', regime_label], '\"near\"')"),
            ("distance to a prototype removed", "metadata = metadata #- array['distances', regime_label]"),
            ("distance to a prototype that is none", metadata("distances, PANIC", "'9'")),
            ("probability of a prototype", """
                probabilities = probabilities || jsonb_build_object(
                    regime_label, (probabilities ->> regime_label)::float8 + 0.01,
                    runner_up_label, (probabilities ->> runner_up_label)::float8 - 0.01
                ),
                confidence = (probabilities ->> regime_label)::float8 + 0.01
                """),
            ("novelty of a prototype", "metadata = jsonb_set(metadata, '{novelty}', to_jsonb(((metadata ->> 'novelty')::float8 + 100) / 3))"),
        )
    ),
    Corruption("temperature of a prototype, with the row's hash", forged(metadata("temperature", "'1'"), OF_PROTOTYPE), EVIDENCE, PROTOTYPE),
    *(
        Corruption(f"{name}, in both tables with their hashes", in_both_tables(vector), OF_WINDOWS, EMBEDDING)
        for name, vector in (
            ("return of a day forged", other_number(30, -3.0)),
            ("return of a day forged a little", other_number(30, 0.03)),
            ("return of the first day forged", other_number(0, 2.0)),
            ("return of the last day forged", other_number(62, 0.0)),
            ("size of all returns forged", other_number(252, 1.0)),
            ("size of all returns beyond measure", other_number(252, 1e30)),
            ("volume of the first day forged", other_number(126, 1.0)),
        )
    ),
    *(
        Corruption(f"{name}, with the row's hash", forged_embedding(f"vector = overlay(vector placing {bytes_} from {first} + 1)", OF_V1), OF_WINDOWS, V1)
        for name, bytes_, first in (
            ("padding of a v1 vector", r"'\x0000803f'", BYTES_OF_V1),
            ("last padding of a v1 vector", r"'\x01'", 1535),
            ("first close of a v1 vector", r"'\x00401c44'", 0),
            ("first volume of a v1 vector", r"'\x0000803f'", 4),
            ("first return of a v1 vector", r"'\x0ad7233c'", 8),
            ("return of a v1 vector", r"'\x0ad7233c'", 12 * 30 + 8),
            ("last volume of a v1 vector", r"'\x0000803f'", 12 * 62 + 4),
        )
    ),
    Corruption("return forged, with the window's hash, so that the price seems restated", [*in_both_tables(other_number(30, -3.0)), *forged_embedding("window_hash = reverse(window_hash)")], OF_WINDOWS, EMBEDDING),
    Corruption("first date of a window, in both tables with their hashes", dates_in_both_tables("first_trade_date", "2010-02-23"), OF_WINDOWS, EMBEDDING),
    Corruption("last date of a window, in both tables with their hashes", dates_in_both_tables("last_trade_date", "2010-05-19"), OF_WINDOWS, EMBEDDING),
    Corruption("first date of an embedding that is of no region, with its hash", [copy_of("historical.numeric_window_embeddings", THAT_EMBEDDING, window_days="63", model_id="'num-regime-core-v2'"), *forged_embedding("window_spec = jsonb_set(window_spec, '{first_trade_date}', '\"2010-02-23\"')", THAT_EMBEDDING.replace("v3", "v2"))], OF_WINDOWS, EMBEDDING | {"model_id": "num-regime-core-v2"}),
    *(
        Corruption(f"{name}, with the row's hash", forged_embedding(f"window_spec = {spec}"), WINDOWS, EMBEDDING)
        for name, spec in (
            ("date of a window that is none", "jsonb_set(window_spec, '{last_trade_date}', '\"soon\"')"),
            ("first date of a window removed", "window_spec - 'first_trade_date'"),
            ("rows of a window that are a text", "jsonb_set(window_spec, '{rows}', '\"63\"')"),
            ("window with something to say", "window_spec || '{\"note\": \"checked\"}'"),
            ("window that is an array", "'[]'"),
        )
    ),
    Corruption("embedding of a sector, with the row's hash", forged_embedding("entity_type = 'SECTOR'", f"{THAT_EMBEDDING} and entity_type = 'INSTRUMENT'")[:1] + forged_embedding("dimension = dimension"), WINDOWS, EMBEDDING | {"entity_type": "SECTOR"}),
    *(
        Corruption(f"{name}, with the row's hash", forged(change, THAT_VOTE), MEANS, VOTE)
        for name, change in (
            ("vote's constituents exchanged, with their numbers", EXCHANGED_VOTERS),
            ("vote's weight that is a text", metadata("constituents, 0, weight", "'\"1\"'")),
            ("vote's constituent that is a text", metadata("constituents, 0", "'\"US\"'")),
            ("vote's constituent with something to say", metadata("constituents, 0, note", "'\"checked\"'")),
            ("vote's in_sample", "metadata = jsonb_set(metadata, '{in_sample}', to_jsonb(not (metadata ->> 'in_sample')::boolean))"),
            ("vote's first date", metadata("first_trade_date", "'\"2010-01-04\"'")),
            ("vote's last date", metadata("last_trade_date", "'\"2010-05-19\"'")),
            ("vote's probability that is a text", "probabilities = probabilities || jsonb_build_object('CARRY', 'none')"),
            ("vote's probabilities that are a number", "probabilities = '1'"),
        )
    ),
    *(
        Corruption(f"{name}, with the row's hash", forged(change, THAT_VOTE), EVIDENCE, VOTE)
        for name, change in (
            ("vote's labels that are a text", metadata("labels", "'\"CARRY\"'")),
            ("vote's constituents removed", "metadata = metadata - 'constituents'"),
            ("vote with a novelty", "metadata = metadata || '{\"novelty\": 5}'"),
            ("vote by a model version", "model_version = 1"),
            ("vote by a version that was given", "metadata = metadata || '{\"version_given\": true}'"),
        )
    ),
)  # fmt: skip

ON_A_DAY_OF_ITS_OWN = [forgery for forgery in FORGERIES if forgery.sql is not FLIPPED]
