-- Whether an embedding, or a revision of one, goes. An embedding belongs to its instrument, whatever
-- region was classified by it. So the embeddings of a series go only if `regime run` or
-- `regime backfill` wrote them for the series, and no other series rests on them.
(
    stored.entity_type = 'INSTRUMENT'
    and stored.entity_id = %(instrument_id)s
    and stored.model_id = coalesce(%(model_id)s, stored.model_id)
    and stored.window_days = coalesce(%(window_days)s, stored.window_days)
)
or (
    stored.run_id = any(%(run_ids)s::uuid[])
    and not exists (
        select 1
        from {regimes} as others
        where
            others.region <> %(vote)s
            and others.instrument_id = stored.entity_id
            and others.as_of_date = stored.as_of_date
            and others.model_id = stored.model_id
            and others.window_days = stored.window_days
            and (others.region, others.model_id, others.window_days) not in (
                select *
                from unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
            )
    )
)
