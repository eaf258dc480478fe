with

timeline as (

    select * from {{ ref('regime_engine', 'regime_timeline') }}

),

returns_by_regime as (

    select
        region,
        regime_label,

        count(*) as trading_days,
        avg(adjusted_log_return) as mean_log_return,
        stddev(adjusted_log_return) as volatility

    from timeline
    where is_trading_day and not is_missing
    group by region, regime_label

)

select * from returns_by_regime
