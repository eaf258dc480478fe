with

prices as (

    select * from {{ ref('stg_prices_daily') }}

),

features as (

    select
        *,
        {{ feature_hash() }} as expected_feature_hash

    from {{ ref('daily_features') }}

),

observed as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        ln(close / lag(close) over instrument) as log_return,
        adjusted_close,
        ln(adjusted_close / lag(adjusted_close) over instrument) as adjusted_log_return,
        {{ usual_log_volume('volume', 'instrument') }} as usual_log_volume,
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
        end::double precision as relative_log_volume

    from observed

)

select
    instrument_id,
    trade_date,

    expected.close as expected_close,
    features.close,
    expected.volume as expected_volume,
    features.volume,
    expected.log_return as expected_log_return,
    features.log_return,
    expected.adjusted_close as expected_adjusted_close,
    features.adjusted_close,
    expected.adjusted_log_return as expected_adjusted_log_return,
    features.adjusted_log_return,
    expected.relative_log_volume as expected_relative_log_volume,
    features.relative_log_volume,
    expected.day_number as expected_day_number,
    features.day_number,
    features.expected_feature_hash,
    features.feature_hash

from expected
full join features using (instrument_id, trade_date)
where
    (
        expected.close, expected.volume, expected.log_return,
        expected.adjusted_close, expected.adjusted_log_return,
        expected.relative_log_volume, expected.day_number
    ) is distinct from (
        features.close, features.volume, features.log_return,
        features.adjusted_close, features.adjusted_log_return,
        features.relative_log_volume, features.day_number
    )
    or features.feature_hash is distinct from features.expected_feature_hash
order by instrument_id, trade_date
