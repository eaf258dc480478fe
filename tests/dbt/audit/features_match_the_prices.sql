with

prices as (

    select * from {{ ref('stg_prices_daily') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

expected as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        adjusted_close,
        ln(close / lag(close) over instrument) as log_return,
        ln(adjusted_close / lag(adjusted_close) over instrument) as adjusted_log_return,
        row_number() over instrument as day_number

    from prices
    window instrument as (partition by instrument_id order by trade_date)

)

select
    instrument_id,
    trade_date,

    expected.close as price_close,
    features.close as feature_close,
    expected.volume as price_volume,
    features.volume as feature_volume,
    expected.log_return as expected_log_return,
    features.log_return as feature_log_return,
    expected.day_number as expected_day_number,
    features.day_number as feature_day_number

from expected
full join features using (instrument_id, trade_date)
where
    (
        expected.close, expected.volume, expected.adjusted_close,
        expected.log_return, expected.adjusted_log_return, expected.day_number
    ) is distinct from (
        features.close, features.volume, features.adjusted_close,
        features.log_return, features.adjusted_log_return, features.day_number
    )
