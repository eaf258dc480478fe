with

features as (

    select * from {{ ref('daily_features') }}

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
            when count(adjusted_log_return) over last_21_days = 21
                then stddev_samp(adjusted_log_return) over last_21_days * sqrt(252)
        end as volatility_21_days,
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

)

select * from measured
