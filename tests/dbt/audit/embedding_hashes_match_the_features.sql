{{ config(severity='warn') }}

with

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

encoded as (

    select distinct
        entity_id as instrument_id,
        model_id

    from embeddings

),

-- Materialized: each is hashed many times, whatever the planner expects.
histories as materialized (

    {{ feature_histories('features', 'encoded') }}

),

windows as (

    {{ windows_of_embeddings('embeddings', 'features', ['window_hash']) }}

),

hashed as (

    select
        windows.entity_type,
        windows.entity_id,
        windows.as_of_date,
        windows.model_id,
        windows.window_days,

        windows.window_hash,
        {{ hash_of_history('histories', 'windows.day_number', 'windows.window_days') }}
            as window_hash_today

    from windows
    left join histories
        on
            windows.entity_type = 'instrument'
            and windows.entity_id = histories.instrument_id
            and windows.model_id = histories.model_id

),

restated as (

    select * from hashed
    where window_hash is distinct from window_hash_today

)

select * from restated
order by entity_id, as_of_date
