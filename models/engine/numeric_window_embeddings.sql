{{ config(
    partition_by='range (as_of_date)' if first_partition_year() else none,
    post_hook=[
        "{{ create_year_partitions(this, 'as_of_date', first_partition_year()) }}",
        "{{ keep_vectors_in_line(this) }}",
        "{{ grant_maintain_of_partitions(this) }}"
    ]
) }}

-- depends_on: {{ ref('daily_features') }}

select
    null::text as entity_type,
    null::text as entity_id,
    null::date as as_of_date,
    null::text as model_id,
    null::integer as window_days,
    null::jsonb as window_spec,
    null::bytea as vector,
    null::integer as dimension,
    null::text as window_hash,
    null::text as row_hash,
    null::uuid as run_id,
    null::timestamp with time zone as created_at
where false
