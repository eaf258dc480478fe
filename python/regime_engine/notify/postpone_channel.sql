-- The other deliveries of a channel that is down wait as long as the one that failed. Those that
-- another session is about to send are left to it.
with

waiting as (
    select notification_id
    from {notification_deliveries}
    where channel = %(channel)s and status = 'WAITING' and next_attempt_at < %(next_attempt_at)s
    for update skip locked
)

update {notification_deliveries} as delivery
set next_attempt_at = %(next_attempt_at)s
from waiting
where delivery.channel = %(channel)s and delivery.notification_id = waiting.notification_id
