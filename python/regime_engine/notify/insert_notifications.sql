-- Put events into the outbox; one that is there already stays as it is.
insert into {notifications} (
    kind, region, as_of_date, model_id, window_days, subject, document, notification_id, created_at
)
select *, {notification_id}, clock_timestamp()
from jsonb_to_recordset(%(events)s) as events (
    kind text,
    region text,
    as_of_date date,
    model_id text,
    window_days integer,
    subject text,
    document jsonb
)
on conflict (notification_id) do nothing
