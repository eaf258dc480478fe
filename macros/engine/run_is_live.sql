{# Whether the session of a run (an alias of regime_runs) still exists. It holds an advisory lock
   whose key is the first half of the run's id (regime_engine.runs). Anyone may take any such lock, so
   the session has to be of the run's login. #}
{% macro run_is_live(run) -%}
    (('x' || left(replace({{ run }}.run_id::text, '-', ''), 16))::bit(64)::bigint, {{ run }}.database_user) in (
        select
            (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint,
            pg_stat_activity.usename
        from pg_locks
        inner join pg_stat_activity on pg_locks.pid = pg_stat_activity.pid
        where
            locktype = 'advisory'
            and objsubid = 1
            and pg_locks.database = (select oid from pg_database where datname = current_database())
    )
{%- endmacro %}
