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
    and (stored.entity_id, stored.as_of_date, stored.model_id, stored.window_days) not in (
        select *
        from unnest(
            %(kept_ids)s::text[], %(kept_days)s::date[],
            %(kept_model_ids)s::text[], %(kept_lengths)s::integer[]
        )
    )
)
