-- How many prices are stored of some instruments, of each between two days.
select count(*)
from unnest(%(instrument_ids)s::text[], %(firsts)s::date[], %(lasts)s::date[])
    as asked (instrument_id, first_day, last_day)
inner join {prices} as stored
    on stored.instrument_id = asked.instrument_id
    and stored.trade_date between asked.first_day and asked.last_day
