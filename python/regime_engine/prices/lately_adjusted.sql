-- The instruments that have an adjusted close in the month before a day, of each before its own.
select distinct stored.instrument_id
from unnest(%(instrument_ids)s::text[], %(lasts)s::date[]) as asked (instrument_id, last_day)
inner join {prices} as stored
    on stored.instrument_id = asked.instrument_id
    and stored.trade_date between asked.last_day - 31 and asked.last_day
where stored.adjusted_close is not null
