with

expected as (

    select * from {{ ref('expected_features') }}

),

stored as (

    select * from {{ ref('daily_features') }}

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
        expected.feature_hash as expected_feature_hash,
        stored.feature_hash

    from expected
    full join stored using (instrument_id, trade_date)
    where
        (
            expected.close, expected.volume, expected.open, expected.log_return,
            expected.adjusted_close, expected.adjusted_log_return, expected.relative_log_volume,
            expected.log_range, expected.overnight_gap, expected.day_number, expected.feature_hash
        ) is distinct from (
            stored.close, stored.volume, stored.open, stored.log_return,
            stored.adjusted_close, stored.adjusted_log_return, stored.relative_log_volume,
            stored.log_range, stored.overnight_gap, stored.day_number, stored.feature_hash
        )

)

select * from differing
order by instrument_id, trade_date
