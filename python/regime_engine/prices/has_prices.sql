-- Whether one of these instruments has a price.
select exists (
    select 1
    from unnest(%(instrument_ids)s::text[]) as asked (instrument_id)
    where exists (
        select 1
        from {prices} as stored
        where stored.instrument_id = asked.instrument_id
    )
)
