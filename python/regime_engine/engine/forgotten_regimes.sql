-- Whether a regime, or a revision of one, goes.
(stored.region, stored.model_id, stored.window_days) in (
    select * from unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
)
or (
    stored.instrument_id = %(instrument_id)s
    and stored.region <> %(vote)s
    and stored.model_id = coalesce(%(model_id)s, stored.model_id)
    and stored.window_days = coalesce(%(window_days)s, stored.window_days)
)
