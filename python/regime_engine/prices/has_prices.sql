-- Whether one of these instruments has a price. The order keeps the planner to the index: it may know
-- nothing yet of the rows that this load has just written.
select exists (
    select 1
    from unnest(%(instrument_ids)s::text[]) as asked (instrument_id)
    cross join lateral (
        select 1
        from {prices} as stored
        where stored.instrument_id = asked.instrument_id
        order by stored.trade_date
        limit 1
    ) as found
)
