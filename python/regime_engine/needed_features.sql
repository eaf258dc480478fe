-- The rows of each instrument from the first row of the start's window on, as arrays.
select needed.*
from unnest(%(instrument_ids)s::text[]) with ordinality as asked (instrument_id, ordinal)
cross join lateral (
    select coalesce(min(before.trade_date), '-infinity') as trade_date
    from (
        select trade_date
        from {features}
        where
            instrument_id = asked.instrument_id
            and trade_date <= %(start)s::date
        order by trade_date desc
        limit %(window_days)s
    ) as before
) as first
cross join lateral (
    select
        array_agg(trade_date),
        array_agg(coalesce(feature_hash, 0)),
        {arrays}
    from (
        select *
        from {features}
        where
            instrument_id = asked.instrument_id
            and trade_date between first.trade_date and coalesce(%(end)s::date, 'infinity')
        -- The key's index gives this order: the planner then looks each instrument up, where it
        -- would scan all of them.
        order by trade_date
    ) as in_order
) as needed
order by asked.ordinal
