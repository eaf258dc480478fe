-- depends_on: {{ ref('daily_features') }}

select
    null::text as notification_id,
    null::text as channel,
    null::text as status,
    null::integer as attempts,
    null::timestamp with time zone as next_attempt_at,
    null::text as last_error,
    null::timestamp with time zone as delivered_at,
    null::timestamp with time zone as created_at
where false
