-- Of these instruments, those of which some rows have an adjusted close and some have none.
select
    instrument_id,
    count(*) - count(adjusted_close) as rows_without,
    count(*) as all_rows
from {prices}
where instrument_id in (

    select asked.instrument_id
    from unnest(%(instrument_ids)s::text[]) as asked (instrument_id)
    where exists (
        select 1
        from {prices} as adjusted
        where adjusted.instrument_id = asked.instrument_id
            and adjusted.adjusted_close is not null
    )

)
group by instrument_id
having count(adjusted_close) < count(*)
order by instrument_id
