-- Whose locks the server processes `ours` have waited for, and since when their transactions run.
-- A login that may not see another one's transactions sees pid, user and application.
select distinct
    coalesce(activity.pid, 0) as pid,
    activity.usename::text as login,
    activity.application_name,
    activity.xact_start
from pg_locks as waiting
cross join lateral unnest(pg_blocking_pids(waiting.pid)) as blocking (pid)
left join pg_stat_activity as activity on activity.pid = blocking.pid
where
    not waiting.granted
    and waiting.pid = any(%(ours)s)
    and blocking.pid <> all(%(ours)s)
    and waiting.waitstart < clock_timestamp() - make_interval(secs => %(seconds)s)
