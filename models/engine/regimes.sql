{{ config(post_hook="{{ keep_vectors_in_line(this) }}") }}

-- depends_on: {{ ref('daily_features') }}

select
    null::text as region,
    null::date as as_of_date,
    null::text as model_id,
    null::integer as window_days,
    null::text as instrument_id,
    null::integer as model_version,
    null::text as regime_label,
    null::double precision as confidence,
    null::jsonb as probabilities,
    null::text as runner_up_label,
    null::double precision as expected_volatility,
    null::bytea as regime_embedding,
    null::jsonb as metadata,
    null::text as row_hash,
    null::uuid as run_id,
    null::timestamp with time zone as created_at
where false
