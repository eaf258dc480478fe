-- Rows that are in the order of the key, none of them twice, of instruments that have no price.
insert into {prices} ({columns})
select {values}
from staged_prices
where file_number = %(file_number)s
    and reason is null
on conflict (instrument_id, trade_date) do nothing
