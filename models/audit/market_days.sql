with

features as not materialized (

    select * from {{ ref('daily_features') }}

),

weeks as (

    {{ trading_weeks('features') }}

),

measured as (

    select
        instrument_id,
        trade_date,

        day_number,
        close,
        adjusted_close,
        adjusted_log_return,
        exp(adjusted_log_return) - 1 as day_return,
        case
            -- The first day has no return.
            when day_number > 21
                then stddev_samp(adjusted_log_return) over last_21_days
        end as deviation_21_days,
        adjusted_close / max(adjusted_close) over until_then - 1 as drawdown,
        lead(adjusted_close, 21) over until_then / adjusted_close - 1 as next_21_days_return

    from features
    window
        until_then as (partition by instrument_id order by trade_date),
        last_21_days as (
            partition by instrument_id
            order by trade_date
            rows between 20 preceding and current row
        )

),

annualised as (

    select
        measured.instrument_id,
        measured.trade_date,

        measured.day_number,
        measured.close,
        measured.adjusted_close,
        measured.adjusted_log_return,
        measured.day_return,
        measured.deviation_21_days * sqrt(weeks.trading_days_a_year) as volatility_21_days,
        measured.drawdown,
        measured.next_21_days_return,
        weeks.trading_days_a_year

    from measured
    inner join weeks on measured.instrument_id = weeks.instrument_id

)

select * from annualised
