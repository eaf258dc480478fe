with

-- Not materialized, so that the filter on a region reaches the key of the table.
regimes as not materialized (

    select * from {{ ref('regimes') }}

),

series as (

    select distinct
        region,
        model_id,
        window_days,
        instrument_id

    from regimes
    -- A vote is of no instrument's returns.
    where not {{ is_voted('region') }}

),

days as (

    select
        series.region,
        series.model_id,
        series.window_days,
        series.instrument_id,
        both_of_the_day.*

    from series
    cross join lateral (

        select
            market.trade_date,
            market.adjusted_log_return,
            regime.regime_label,
            regime.model_version,
            regime.expected_volatility,
            regime.metadata,
            regime.run_id

        from (

            select * from {{ function('market_of') }}(series.instrument_id)

        ) as market
        left join (

            select *
            from {{ function('regimes_of') }}(series.region, series.model_id, series.window_days)

        ) as regime
            on
                market.trade_date = regime.as_of_date
                and regime.instrument_id = series.instrument_id

    ) as both_of_the_day

),

came as (

    select
        *,
        case
            when count(*) over next_21_days = 21
                then sqrt(avg(adjusted_log_return ^ 2) over next_21_days)
        end as daily_volatility

    from days
    window next_21_days as (
        partition by region, model_id, window_days, instrument_id
        order by trade_date
        rows between 1 following and 21 following
    )

),

forecasts as (

    select
        *,
        {{ truth_or_null("metadata -> 'in_sample'") }} as is_in_sample,
        {{ count_or_null("metadata -> 'trading_days_a_year'") }} as trading_days_a_year

    from came
    where expected_volatility is not null

),

annualised as (

    select
        region,
        trade_date as as_of_date,
        model_id,
        window_days,

        instrument_id,
        regime_label,
        model_version,
        is_in_sample,

        expected_volatility,
        daily_volatility * sqrt(trading_days_a_year) as realised_volatility_21_days_after,
        trading_days_a_year,

        run_id

    from forecasts

)

select * from annualised
