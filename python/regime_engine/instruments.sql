-- Every instrument that has a price, by id: one look-up in the prices' index for each.
with recursive

instruments as (

    (select instrument_id from {stg_prices_daily} order by instrument_id limit 1)

    union all

    select (
        select prices.instrument_id
        from {stg_prices_daily} as prices
        where prices.instrument_id > instruments.instrument_id
        order by prices.instrument_id
        limit 1
    )
    from instruments
    where instruments.instrument_id is not null

)

select instrument_id
from instruments
where instrument_id is not null
