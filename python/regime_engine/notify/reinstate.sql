-- What was withdrawn and is so again waits again.
with

reinstated as (
    select delivery.notification_id, delivery.channel
    from {notification_deliveries} as delivery
    inner join {notifications} as news using (notification_id)
    where delivery.status = 'WITHDRAWN' and {still_so}
)

update {notification_deliveries} as delivery
set status = 'WAITING', next_attempt_at = %(now)s
from reinstated
where
    delivery.notification_id = reinstated.notification_id
    and delivery.channel = reinstated.channel
    and delivery.status = 'WITHDRAWN'
