-- One row a channel for which something waits: how many, since when, until when, and why.
select
    channel,
    count(*) as waiting,
    min(created_at) as waiting_since,
    max(attempts) as attempts,
    min(next_attempt_at) as next_attempt_at,
    (array_agg(last_error order by next_attempt_at desc) filter (where last_error is not null))[1]
        as last_error
from {notification_deliveries}
where status = 'WAITING'
group by channel
order by channel
