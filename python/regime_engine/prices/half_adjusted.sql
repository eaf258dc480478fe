-- Of these instruments, those of which some rows have an adjusted close and some have none.
select
    instrument_id,
    count(*) - count(adjusted_close) as rows_without,
    count(*) as all_rows
from {prices}
where instrument_id in (

    select adjusted.instrument_id
    from {prices} as adjusted
    where adjusted.instrument_id = any(%(instrument_ids)s)
        and adjusted.adjusted_close is not null

)
group by instrument_id
having count(adjusted_close) < count(*)
order by instrument_id
