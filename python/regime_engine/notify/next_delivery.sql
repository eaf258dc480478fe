-- The oldest delivery of a channel that is due.
select
    news.notification_id,
    news.kind,
    news.region,
    news.as_of_date,
    news.model_id,
    news.window_days,
    news.subject,
    news.document,
    news.created_at,
    delivery.attempts,
    {still_so} as is_still_so
from {notification_deliveries} as delivery
inner join {notifications} as news using (notification_id)
where
    delivery.channel = %(channel)s
    and delivery.status = 'WAITING'
    and delivery.next_attempt_at <= %(due)s
    and not delivery.notification_id = any(%(tried)s::text[])
order by news.created_at, news.as_of_date, news.notification_id
limit 1
