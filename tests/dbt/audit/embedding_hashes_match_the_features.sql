with

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

running as materialized (

    {{ running_hashes('features') }}

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
        case
            when windows.day_number >= windows.window_days
                then {{ window_hash_between('until_first', 'until_last') }}
        end as window_hash_today

    from windows
    left join running as until_last
        on
            windows.entity_type = 'INSTRUMENT'
            and windows.entity_id = until_last.instrument_id
            and windows.day_number = until_last.day_number
    left join running as until_first
        on
            windows.entity_id = until_first.instrument_id
            and windows.day_number - windows.window_days = until_first.day_number

),

restated as (

    select * from hashed
    where window_hash is distinct from window_hash_today

)

select * from restated
order by entity_id, as_of_date
