-- What was withdrawn and is so again, and what may be.
select
    delivery.notification_id,
    delivery.channel,
    {still_so} as is_so,
    news.region,
    news.as_of_date,
    news.model_id,
    news.window_days
from {notification_deliveries} as delivery
inner join {notifications} as news using (notification_id)
where delivery.status = 'WITHDRAWN' and ({still_so}) is not false
