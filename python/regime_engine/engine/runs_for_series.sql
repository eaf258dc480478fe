-- The runs that wrote the embeddings of the series together with its regimes.
select run_id
from {regime_runs}
where
    command in ('run', 'backfill')
    and (parameters ->> 'region', model_id, (parameters ->> 'window_days')::integer) in (
        select *
        from unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
    )
