-- Of these instruments, those that have prices and no adjusted close.
select instrument_id
from {prices}
where instrument_id = any(%(instrument_ids)s)
group by instrument_id
having count(adjusted_close) = 0
