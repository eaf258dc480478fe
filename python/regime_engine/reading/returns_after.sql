-- What came in the 21 and in the 63 trading days after a window, as far as it was known.
select
    max(adjusted_close) filter (where trading_day = 21)
    / max(adjusted_close) filter (where trading_day = 0) - 1 as next_21_days_return,
    max(adjusted_close) filter (where trading_day = 63)
    / max(adjusted_close) filter (where trading_day = 0) - 1 as next_63_days_return
from (
    select
        adjusted_close,
        count(*) filter (where trade_date > %(last_trade_date)s) over (order by trade_date)
            as trading_day
    from {daily_features}
    where
        instrument_id = %(instrument_id)s
        and trade_date >= %(last_trade_date)s
        and (trade_date = %(last_trade_date)s or trade_date <= %(known_until)s)
    order by trade_date
    limit 64
) as days
