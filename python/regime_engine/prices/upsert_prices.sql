-- Rows are written in the order of the key, so that two writers never wait for each other in a
-- circle. The last select still sees the table as it was before the insert.
with

landed as (

    insert into {prices} as stored ({columns})
    select distinct on (instrument_id, trade_date) {values}
    from staged_prices
    where file_number = %(file_number)s
        and reason is null
    order by instrument_id, trade_date
    on conflict (instrument_id, trade_date) do update
    set {assignments}
    where ({stored}) is distinct from ({excluded})
    returning instrument_id, trade_date

)

select
    count(*) filter (where stored.instrument_id is null) as inserted,
    count(stored.instrument_id) as updated
from landed
left join {prices} as stored using (instrument_id, trade_date)
