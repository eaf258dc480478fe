with

prices as (

    select * from {{ ref('stg_prices_daily') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

stored as (

    select
        *,
        {{ feature_hash() }} as expected_feature_hash

    from features

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

expected as (

    select
        *,
        case
            when volume = 0 and usual_log_volume is not null then -3
            else greatest(-3, least(3, coalesce(ln(nullif(volume, 0)) - usual_log_volume, 0)))
        end::double precision as relative_log_volume,
        adjusted_log_return - ln(close / open) as overnight_gap

    from observed

),

differing as (

    select
        instrument_id,
        trade_date,

        expected.close as expected_close,
        stored.close,
        expected.volume as expected_volume,
        stored.volume,
        expected.open as expected_open,
        stored.open,
        expected.log_return as expected_log_return,
        stored.log_return,
        expected.adjusted_close as expected_adjusted_close,
        stored.adjusted_close,
        expected.adjusted_log_return as expected_adjusted_log_return,
        stored.adjusted_log_return,
        expected.relative_log_volume as expected_relative_log_volume,
        stored.relative_log_volume,
        expected.log_range as expected_log_range,
        stored.log_range,
        expected.overnight_gap as expected_overnight_gap,
        stored.overnight_gap,
        expected.day_number as expected_day_number,
        stored.day_number,
        stored.expected_feature_hash,
        stored.feature_hash

    from expected
    full join stored using (instrument_id, trade_date)
    where
        (
            expected.close, expected.volume, expected.open, expected.log_return,
            expected.adjusted_close, expected.adjusted_log_return, expected.relative_log_volume,
            expected.log_range, expected.overnight_gap, expected.day_number
        ) is distinct from (
            stored.close, stored.volume, stored.open, stored.log_return,
            stored.adjusted_close, stored.adjusted_log_return, stored.relative_log_volume,
            stored.log_range, stored.overnight_gap, stored.day_number
        )
        or stored.feature_hash is distinct from stored.expected_feature_hash

)

select * from differing
order by instrument_id, trade_date
