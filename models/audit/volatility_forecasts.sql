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
        {{ count_or_null("metadata -> 'trading_days_a_year'") }} as trading_days_a_year,
        {{ truth_or_null("metadata -> 'in_sample'") }} as is_in_sample,

        run_id

    from regimes
    where
        expected_volatility is not null
        and not {{ is_voted('region') }}

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
        came.daily_volatility * sqrt(forecasts.trading_days_a_year)
            as realised_volatility_21_days_after,
        forecasts.trading_days_a_year,

        forecasts.run_id

    from forecasts
    inner join features
        on
            forecasts.instrument_id = features.instrument_id
            and forecasts.as_of_date = features.trade_date
    -- A look-up by key for each day. A join with the days of the market takes minutes if the
    -- planner has no statistics yet, as after a first backfill.
    inner join lateral (

        select
            case
                when count(*) = 21 then sqrt(avg(adjusted_log_return ^ 2))
            end as daily_volatility
        from (

            select later.adjusted_log_return
            from features as later
            where
                later.instrument_id = forecasts.instrument_id
                and later.trade_date > forecasts.as_of_date
            order by later.trade_date
            limit 21

        ) as next_21_days

    ) as came on true

)

select * from annualised
