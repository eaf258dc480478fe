-- depends_on: {{ ref('daily_features') }}

select
    null::uuid as run_id,
    null::text as command,
    null::jsonb as parameters,
    null::text as model_id,
    null::text as status,
    null::timestamp with time zone as started_at,
    null::timestamp with time zone as finished_at,
    null::jsonb as rows_written,
    null::jsonb as rows_removed,
    null::text as error,
    null::jsonb as failures,
    null::text as package_version,
    null::text as database_user,
    null::text as host,
    null::uuid as previous_run_id,
    null::jsonb as contents,
    null::jsonb as contents_left,
    null::text as row_hash,
    null::integer as seal_number,
    null::text as seal
where false
