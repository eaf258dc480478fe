-- depends_on: {{ ref('daily_features') }}

select
    null::text as table_name,
    null::jsonb as key,
    null::jsonb as old_row,
    null::uuid as new_run_id,
    null::timestamp with time zone as revised_at,
    null::text as row_hash
where false
