{# `regime audit --replay` computes embeddings from these rows. #}
with

prices as (

    select * from {{ ref('stg_prices_daily') }}

),

observed as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        open,
        ln(close / lag(close) over instrument) as log_return,
        adjusted_close,
        ln(adjusted_close / lag(adjusted_close) over instrument) as adjusted_log_return,
        {{ usual_log_volume('volume', 'instrument') }} as usual_log_volume,
        log_range,
        row_number() over instrument as day_number

    from prices
    window instrument as (partition by instrument_id order by trade_date)

),

features as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        open,
        log_return,
        adjusted_close,
        adjusted_log_return,
        case
            when volume = 0 and usual_log_volume is not null then -3
            else greatest(-3, least(3, coalesce(ln(nullif(volume, 0)) - usual_log_volume, 0)))
        end::double precision as relative_log_volume,
        log_range,
        adjusted_log_return - ln(close / open) as overnight_gap,
        day_number::integer as day_number

    from observed

),

hashed as (

    select
        *,
        {{ feature_hash() }} as feature_hash

    from features

)

select * from hashed
