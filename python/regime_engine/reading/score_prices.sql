-- The trading days of an instrument, oldest first.
select
    market.trade_date,
    market.adjusted_log_return,
    (to_jsonb(features) ->> 'log_range')::double precision as log_range,
    (to_jsonb(features) ->> 'overnight_gap')::double precision as overnight_gap,
    market.trading_days_a_year
from {market_days} as market
inner join {daily_features} as features using (instrument_id, trade_date)
where instrument_id = %s
order by trade_date
