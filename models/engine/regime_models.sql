-- depends_on: {{ ref('daily_features') }}

select
    null::text as region,
    null::text as model_id,
    null::integer as window_days,
    null::integer as version,
    null::text as classifier,
    null::text[] as labels,
    null::jsonb as parameters,
    null::date as trained_from,
    null::date as trained_to,
    null::integer as n_windows,
    null::text as training_hash,
    null::jsonb as metrics,
    null::date as valid_from,
    null::text as parameters_hash,
    null::uuid as run_id,
    null::timestamp with time zone as created_at
where false
