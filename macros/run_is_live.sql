{# Whether the run's session is still there: a live run holds the advisory lock of its id's first
   half (regime_engine.runs). #}
{% macro run_is_live(run_id) -%}
    ('x' || left(replace({{ run_id }}::text, '-', ''), 16))::bit(64)::bigint in (
        select (classid::bigint << 32) | objid::bigint
        from pg_locks
        where
            locktype = 'advisory'
            and objsubid = 1
            and database = (select oid from pg_database where datname = current_database())
    )
{%- endmacro %}
