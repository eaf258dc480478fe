with

-- Not materialized, so that the filter on a region reaches the key of the table.
regimes as not materialized (

    select * from {{ ref('regimes') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

-- A vote is of no instrument's returns.
forecasts as not materialized (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        instrument_id,
        regime_label,
        model_version,
        expected_volatility,
        (metadata ->> 'trading_days_a_year')::integer as trading_days_a_year,
        (metadata ->> 'in_sample')::boolean as is_in_sample,

        run_id

    from regimes
    where
        expected_volatility is not null
        and not {{ is_voted('region') }}

),

series as (

    select distinct
        region,
        model_id,
        window_days,
        instrument_id

    from forecasts

),

outcomes as (

    select
        instrument_id,
        trade_date,

        case
            when count(adjusted_log_return) over next_21_days = 21
                then sqrt(avg(adjusted_log_return ^ 2) over next_21_days)
        end as daily_volatility_21_days_after

    from features
    window next_21_days as (
        partition by instrument_id
        order by trade_date
        rows between 1 following and 21 following
    )

),

came as (

    select
        series.region,
        series.model_id,
        series.window_days,

        outcome.*

    from series
    inner join lateral (

        select outcomes.*
        from outcomes
        where outcomes.instrument_id = series.instrument_id
        -- Keeps the look-up by instrument below the window function of outcomes.
        offset 0 -- noqa: AM09, PRS

    ) as outcome on true

),

annualised as (

    select
        forecasts.region,
        forecasts.as_of_date,
        forecasts.model_id,
        forecasts.window_days,

        forecasts.instrument_id,
        forecasts.regime_label,
        forecasts.model_version,
        forecasts.is_in_sample,

        forecasts.expected_volatility,
        came.daily_volatility_21_days_after * sqrt(forecasts.trading_days_a_year)
            as realised_volatility_21_days_after,
        forecasts.trading_days_a_year,

        forecasts.run_id

    from forecasts
    inner join came
        on
            forecasts.region = came.region
            and forecasts.model_id = came.model_id
            and forecasts.window_days = came.window_days
            and forecasts.instrument_id = came.instrument_id
            and forecasts.as_of_date = came.trade_date

)

select * from annualised
