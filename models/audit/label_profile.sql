with

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

),

labelled as (

    select
        series.region,
        series.model_id,
        series.window_days,
        both_of_the_day.*

    from series
    cross join lateral (

        select
            regime.regime_label,
            market.trade_date,
            market.adjusted_log_return,
            market.day_return,
            market.next_21_days_return,
            market.trading_days_a_year

        from (

            select * from {{ function('market_of') }}(series.instrument_id)

        ) as market
        inner join (

            select *
            from {{ function('regimes_of') }}(series.region, series.model_id, series.window_days)

        ) as regime
            on
                market.trade_date = regime.as_of_date
                and regime.instrument_id = series.instrument_id
        -- Calls each function once for a series.
        offset 0 -- noqa: AM09, PRS

    ) as both_of_the_day

),

profile as (

    select
        region,
        model_id,
        window_days,
        regime_label,

        count(*)::integer as days,
        (
            count(*) / sum(count(*)) over (partition by region, model_id, window_days)
        )::double precision as share_of_days,

        exp(avg(trading_days_a_year)::double precision * avg(adjusted_log_return)) - 1
            as annualised_return,
        stddev_samp(adjusted_log_return) * sqrt(avg(trading_days_a_year)::double precision)
            as annualised_volatility,
        min(day_return) as worst_day_return,
        (array_agg(trade_date order by day_return, trade_date))[1] as worst_day,

        count(next_21_days_return)::integer as judged_days,
        count(*) filter (where next_21_days_return > 0)
        / nullif(count(next_21_days_return), 0)::double precision as hit_rate_21_days

    from labelled
    group by region, model_id, window_days, regime_label

)

select * from profile
