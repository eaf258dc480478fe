-- Remove rows of one entity, and keep what the revised ones said.
with

removed as (

    delete from {table} as stored
    where
        {of_entity}
        and stored.model_id = %(model_id)s
        and stored.window_days = %(window_days)s
        and stored.as_of_date = any(%(days)s::date[])
    returning stored.*

),

old_rows as (

    select to_jsonb(removed) as old_row
    from removed
    where as_of_date = any(%(revised_days)s::date[])

),

revised as (

    select
        {table_name}::text as table_name,
        (select jsonb_object_agg(k, old_row -> k) from unnest({key_names}::text[]) as k) as key,
        old_row,
        %(run_id)s::uuid as new_run_id,
        clock_timestamp() as revised_at
    from old_rows
    -- A barrier: without it the clock would be read a second time for the hash.
    offset 0

)

insert into {regime_revisions} (table_name, key, old_row, new_run_id, revised_at, row_hash)
select
    *,
    {row_hash}
from revised
