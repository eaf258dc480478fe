-- The last day of the prices of each instrument that has some between the two days.
select
    instrument_id,
    max(trade_date) as last_price
from {stg_prices_daily}
where
    instrument_id = any(%(instrument_ids)s)
    and trade_date between %(first)s and coalesce(%(end)s::date, 'infinity')
group by instrument_id
