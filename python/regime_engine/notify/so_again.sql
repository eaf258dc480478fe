-- What was withdrawn and is so again.
select
    delivery.notification_id,
    delivery.channel
from {notification_deliveries} as delivery
inner join {notifications} as news using (notification_id)
where delivery.status = 'WITHDRAWN' and {still_so}
