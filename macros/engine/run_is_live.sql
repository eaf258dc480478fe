{# Whether the run's session still exists. A live run holds an advisory lock whose key is the first
   half of its id (regime_engine.runs). #}
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
