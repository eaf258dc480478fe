-- Rows of instruments that have no price, no key twice. The order and the count are as in
-- upsert_prices.
with

landed as (

    insert into {prices} ({columns})
    select {values}
    from staged_prices
    where file_number = %(file_number)s
        and reason is null
    order by instrument_id, trade_date
    on conflict (instrument_id, trade_date) do nothing
    returning 1

)

select count(*) from landed
