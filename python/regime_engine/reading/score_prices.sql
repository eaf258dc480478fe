-- The trading days of an instrument, oldest first.
select
    market.trade_date,
    market.adjusted_log_return,
    features.log_range,
    features.overnight_gap,
    market.trading_days_a_year
from {market_days} as market
inner join {daily_features} as features using (instrument_id, trade_date)
where instrument_id = %s
order by trade_date
