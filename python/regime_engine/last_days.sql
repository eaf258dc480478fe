-- The last day of the prices and of the features of each instrument, up to the stretch's end.
select
    (
        select trade_date
        from {stg_prices_daily}
        where
            instrument_id = asked.instrument_id
            and trade_date <= coalesce(%(end)s::date, 'infinity')
        order by trade_date desc
        limit 1
    ) as last_price,
    (
        select trade_date
        from {features}
        where
            instrument_id = asked.instrument_id
            and trade_date <= coalesce(%(end)s::date, 'infinity')
        order by trade_date desc
        limit 1
    ) as last_feature
from unnest(%(instrument_ids)s::text[]) with ordinality as asked (instrument_id, ordinal)
order by asked.ordinal
