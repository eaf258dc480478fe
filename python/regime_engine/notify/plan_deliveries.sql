-- Decide once for each notification whether a channel is to get it.
insert into {notification_deliveries} (
    notification_id, channel, status, attempts, next_attempt_at, created_at
)
select
    notification_id,
    %(channel)s,
    case when as_of_date < %(since)s then 'SUPPRESSED' else 'WAITING' end,
    0,
    %(now)s,
    %(now)s
from {notifications} as news
where
    kind = any(%(kinds)s)
    and not exists (
        select 1
        from {notification_deliveries} as planned
        where
            planned.channel = %(channel)s
            and planned.notification_id = news.notification_id
    )
on conflict (notification_id, channel) do nothing
returning status
