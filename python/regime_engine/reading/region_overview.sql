-- One row a region: its newest price, and how many trading days ago that was. The instrument trades on
-- the weekdays of its last 63 prices; a weekday with fewer than 4 of them is left out. A holiday counts
-- as a trading day. A region is stale if no window that ends with its newest price may serve today.
with

weekdays as (

    select
        regions.region,
        regions.instrument_id,
        extract(isodow from recent.trade_date) as weekday,
        count(*) as prices,
        max(recent.trade_date) as last_price
    from {current_regions} as regions
    left join lateral (

        select prices.trade_date
        from {prices} as prices
        where prices.instrument_id = regions.instrument_id
        order by prices.trade_date desc
        limit 63

    ) as recent on true
    group by regions.region, regions.instrument_id, weekday

),

newest as (

    select
        region,
        instrument_id,
        max(last_price) as last_price,
        array_agg(weekday) filter (where prices >= 4) as trades_on
    from weekdays
    group by region, instrument_id

)

select
    region,
    instrument_id,
    last_price,
    case
        when last_price is not null
            then (
                select count(*)
                from generate_series(last_price + 1, current_date, '1 day') as later (day)
                where extract(isodow from later.day) = any(newest.trades_on)
            )
    end as trading_days_old,
    last_price < current_date - {max_staleness_days} as is_stale
from newest
order by region collate "C"
