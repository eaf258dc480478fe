{# The keys of a regime's metadata and their JSON types, by the kind of its classifier. #}
{%- set window = {
    'first_trade_date': 'string', 'last_trade_date': 'string', 'in_sample': 'boolean'
} %}
{%- set evidence = {
    'seed rule': {'distances': 'object', 'temperature': 'number'},
    'prototype': {'distances': 'object', 'temperature': 'number', 'novelty': 'number'},
    'markov': {
        'filtered': 'object',
        'beta': 'number',
        'hysteresis': 'number',
        'volume_weight': 'number',
        'novelty': 'number',
        'trading_days_a_year': 'number',
    },
    'vote': {'labels': 'array', 'constituents': 'array'},
} %}
with

regimes as (

    select * from {{ ref('regimes') }}

),

-- Materialized, because the parameters of a version are large.
versions as materialized (

    select
        region,
        model_id,
        window_days,
        version,

        classifier,
        case classifier
            when 'prototype' then jsonb_build_object('temperature', parameters -> 'temperature')
            when 'markov'
                then jsonb_build_object(
                    'beta', parameters -> 'beta',
                    'hysteresis', parameters -> 'hysteresis',
                    'volume_weight', parameters -> 'experts' -> -1 -> 'volume_weight'
                )
        end as constants

    from {{ ref('regime_models') }}

),

classified as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        regimes.regime_label,
        regimes.metadata,
        regimes.run_id,
        case
            when {{ is_voted('regimes.region') }} then 'vote'
            when regimes.model_version = 0 then 'seed rule'
            else versions.classifier
        end as kind,
        case
            when regimes.model_version = 0 and not {{ is_voted('regimes.region') }}
                then '{"distances": {"NEUTRAL": 0}, "temperature": 1, "in_sample": false}'::jsonb
            else versions.constants
        end as constants

    from regimes
    left join versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version

),

judged as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        model_version,
        kind as classified_by,
        case
            {%- for kind, types in evidence.items() %}
            {%- set types = dict(window, **types) %}
            when
                kind = '{{ kind }}'
                and (
                    case jsonb_typeof(metadata)
                        when 'object'
                            then
                                metadata - 'version_given'
                                {%- for key in types %}
                                - '{{ key }}'
                                {%- endfor %}
                    end = '{}'
                    {%- for key, type in types.items() %}
                    and jsonb_typeof(metadata -> '{{ key }}') = '{{ type }}'
                    {%- endfor %}
                ) is not true
                then 'a key is missing, unknown, or of another type'
            {%- endfor %}
            when kind = 'vote' and model_version <> 0 then 'a vote is by no model version'
            when metadata @> constants is false
                then 'the constants are not those of the model version'
            when kind = 'seed rule' and regime_label <> 'NEUTRAL'
                then 'the seed rule knows one label'
            when (metadata -> 'novelty')::numeric not between 0 and 100
                then 'the novelty is not between 0 and 100'
            when
                metadata ->> 'first_trade_date' not like '____-__-__'
                or metadata ->> 'last_trade_date' not like '____-__-__'
                then 'a date is none'
            when
                metadata ? 'version_given'
                and (metadata -> 'version_given' <> 'true' or kind in ('vote', 'seed rule'))
                then 'no version was asked for by number'
        end as fault,
        metadata,
        run_id

    from classified
    -- Another test finds a version that is not stored.
    where kind is not null

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date
