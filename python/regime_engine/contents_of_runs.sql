-- The hash over the rows that a run wrote, by table and by entity or region, as the view run_contents
-- has it. Each table is asked for the rows of these runs by itself: a distributed Postgres would read
-- the whole of a view over several tables before it looks for them.
with

lines as (

    select
        run_id,
        'numeric_window_embeddings' as table_name,
        entity_id as entity_or_region,
        row_hash || ' ' || extract(epoch from created_at) as line

    from {numeric_window_embeddings}
    where
        'numeric_window_embeddings' = any(%(tables)s)
        and run_id = any(%(run_ids)s)
        and (%(names)s::text[] is null or entity_id = any(%(names)s))

    union all

    select
        run_id,
        'regimes' as table_name,
        region as entity_or_region,
        row_hash || ' ' || extract(epoch from created_at) as line

    from {regimes}
    where 'regimes' = any(%(tables)s) and run_id = any(%(run_ids)s)

    union all

    select
        (old_row ->> 'run_id')::uuid as run_id,
        table_name,
        coalesce(old_row ->> 'region', old_row ->> 'entity_id') as entity_or_region,
        (old_row ->> 'row_hash')
        || ' '
        || extract(epoch from (old_row ->> 'created_at')::timestamp with time zone) as line

    from {regime_revisions}
    where
        table_name = any(%(tables)s)
        and old_row ->> 'run_id' = any(%(run_ids)s::uuid[]::text[])

    union all

    select
        run_id,
        'regime_models' as table_name,
        region as entity_or_region,
        parameters_hash || ' ' || extract(epoch from created_at) as line

    from {regime_models}
    where 'regime_models' = any(%(tables)s) and run_id = any(%(run_ids)s)

    union all

    select
        new_run_id as run_id,
        'regime_revisions' as table_name,
        coalesce(key ->> 'region', key ->> 'entity_id') as entity_or_region,
        row_hash as line

    from {regime_revisions}
    where 'regime_revisions' = any(%(tables)s) and new_run_id = any(%(run_ids)s)

)

select
    run_id,
    table_name,
    entity_or_region,
    encode(
        sha256(convert_to(string_agg(line, e'\n' order by line collate "C"), 'UTF8')), 'hex'
    ) as sha256
from lines
where %(names)s::text[] is null or entity_or_region = any(%(names)s)
group by run_id, table_name, entity_or_region
