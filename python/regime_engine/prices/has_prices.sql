-- A price of one of these instruments. The order keeps the planner to the index: it may know nothing yet
-- of the rows that this load has just written.
select 1
from {prices}
where instrument_id = any(%(instrument_ids)s)
order by instrument_id, trade_date
limit 1
