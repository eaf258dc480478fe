-- Rows are written in the order of the key, so that two writers never wait for each other in a
-- circle. They are counted as they come back: of an insert that leaves rows alone, a distributed
-- Postgres itself counts all that were offered.
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
    returning 1

)

select count(*) from landed
