-- depends_on: {{ ref('daily_features') }}

select
    null::text as region,
    null::date as as_of_date,
    null::text as model_id,
    null::integer as window_days,
    null::date as previous_as_of_date,
    null::text as from_regime_label,
    null::text as to_regime_label,
    null::double precision as from_confidence,
    null::double precision as to_confidence,
    null::uuid as run_id,
    null::timestamp with time zone as created_at
where false
