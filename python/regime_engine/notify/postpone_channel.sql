-- The other deliveries of a channel that is down wait as long as the one that failed.
update {notification_deliveries}
set next_attempt_at = %(next_attempt_at)s
where
    channel = %(channel)s
    and status = 'WAITING'
    and next_attempt_at < %(next_attempt_at)s
