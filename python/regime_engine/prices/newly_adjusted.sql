-- Of these instruments, those that have prices and no adjusted close.
select asked.instrument_id
from unnest(%(instrument_ids)s::text[]) as asked (instrument_id)
where exists (
        select 1
        from {prices} as stored
        where stored.instrument_id = asked.instrument_id
    )
    and not exists (
        select 1
        from {prices} as adjusted
        where adjusted.instrument_id = asked.instrument_id
            and adjusted.adjusted_close is not null
    )
