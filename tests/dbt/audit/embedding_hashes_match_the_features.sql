{{ config(severity='warn') }}

with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

)

{% for model_id, encoder in var('encoders').items() %}
{{ 'union all' if not loop.first }}
select
    embeddings.entity_id,
    embeddings.as_of_date,
    embeddings.model_id,
    embeddings.window_days,

    embeddings.window_hash,
    today.window_hash as window_hash_today

from embeddings
cross join lateral (

    select {{ window_hash(encoder.columns) }} as window_hash
    from features
    where
        features.instrument_id = embeddings.entity_id
        and features.trade_date >= (embeddings.window_spec ->> 'first_trade_date')::date
        and features.trade_date <= (embeddings.window_spec ->> 'last_trade_date')::date

) as today
where
    embeddings.entity_type = 'instrument'
    and embeddings.model_id = '{{ model_id }}'
    and (
        today.window_hash is distinct from embeddings.window_hash
        -- A price of a day that had none when its window was read.
        or exists (
            select 1
            from features
            where
                features.instrument_id = embeddings.entity_id
                and features.trade_date > (embeddings.window_spec ->> 'last_trade_date')::date
                and features.trade_date <= embeddings.as_of_date
        )
    )
{% endfor %}
order by entity_id, as_of_date
