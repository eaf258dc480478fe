-- depends_on: {{ ref('daily_features') }}

select
    null::text as notification_id,
    null::text as kind,
    null::text as region,
    null::date as as_of_date,
    null::text as model_id,
    null::integer as window_days,
    null::text as subject,
    null::jsonb as document,
    null::timestamp with time zone as created_at
where false
