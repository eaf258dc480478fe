{{ config(severity='warn') }}

with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}
    where entity_type = 'instrument'

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

-- The xor of a window is that of all rows up to its end and all rows before it.
running as materialized (

    select
        instrument_id,
        trade_date,
        day_number,
        bit_xor(feature_hash) over (partition by instrument_id order by trade_date) as hash_until

    from features

),

windows as (

    select
        embeddings.entity_id,
        embeddings.as_of_date,
        embeddings.model_id,
        embeddings.window_days,

        embeddings.window_hash,
        -- A day without trading has the window of the trading day before it.
        coalesce(
            features.day_number,
            (
                select earlier.day_number
                from features as earlier
                where
                    earlier.instrument_id = embeddings.entity_id
                    and earlier.trade_date <= embeddings.as_of_date
                order by earlier.trade_date desc
                limit 1
            )
        ) as day_number

    from embeddings
    left join features
        on
            embeddings.entity_id = features.instrument_id
            and embeddings.as_of_date = features.trade_date

),

hashed as (

    select
        windows.entity_id,
        windows.as_of_date,
        windows.model_id,
        windows.window_days,

        windows.window_hash,
        case
            when windows.day_number >= windows.window_days
                then lpad(to_hex(until_last.hash_until # coalesce(until_first.hash_until, 0)), 16, '0')
        end as window_hash_today

    from windows
    left join running as until_last
        on
            windows.entity_id = until_last.instrument_id
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
