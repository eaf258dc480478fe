-- Whether a transition or a version of a model goes.
(stored.region, stored.model_id, stored.window_days) in (
    select * from unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
)
