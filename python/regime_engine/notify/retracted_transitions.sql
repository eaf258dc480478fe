-- The transitions since a date that somebody was told of and that are not stored any more.
select region, as_of_date, model_id, window_days, subject, document
from {notifications} as news
where
    kind = 'transition'
    and as_of_date >= %(since)s
    and not {is_stored}
    and exists (
        select 1
        from {notification_deliveries} as delivery
        where delivery.notification_id = news.notification_id and delivery.status = 'DELIVERED'
    )
