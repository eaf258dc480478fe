with

-- Not materialized, so that the filter on a region reaches the key of the table.
regimes as not materialized (

    select * from {{ ref('regimes') }}

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
        {{ count_or_null("metadata -> 'trading_days_a_year'") }} as trading_days_a_year,
        {{ truth_or_null("metadata -> 'in_sample'") }} as is_in_sample,

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

came as (

    select
        series.region,
        series.model_id,
        series.window_days,
        series.instrument_id,

        market.trade_date,
        case
            when count(*) over next_21_days = 21
                then sqrt(avg(market.adjusted_log_return ^ 2) over next_21_days)
        end as daily_volatility

    from series
    cross join lateral {{ function('market_of') }}(series.instrument_id) as market
    window next_21_days as (
        partition by series.region, series.model_id, series.window_days, series.instrument_id
        order by market.trade_date
        rows between 1 following and 21 following
    )

),

annualised as (

    select
        came.region,
        came.trade_date as as_of_date,
        came.model_id,
        came.window_days,

        came.instrument_id,
        forecast.regime_label,
        forecast.model_version,
        forecast.is_in_sample,

        forecast.expected_volatility,
        came.daily_volatility * sqrt(forecast.trading_days_a_year)
            as realised_volatility_21_days_after,
        forecast.trading_days_a_year,

        forecast.run_id

    from came
    inner join lateral (

        select forecasts.*
        from forecasts
        where
            forecasts.region = came.region
            and forecasts.as_of_date = came.trade_date
            and forecasts.model_id = came.model_id
            and forecasts.window_days = came.window_days
            and forecasts.instrument_id = came.instrument_id
        -- Keeps the look-up by key: the planner cannot tell how many rows a window function gives.
        offset 0 -- noqa: AM09, PRS

    ) as forecast on true

)

select * from annualised
