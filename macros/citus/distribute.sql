{# Calls a Citus function, in its own transaction, for a table that exists and is not distributed
   yet. #}
{% macro distribute(table, call) %}
    {%- set is_plain = run_query(
        "select 1 where to_regclass('" ~ table ~ "') is not null and not exists ("
        ~ "select from pg_dist_partition where logicalrelid = to_regclass('" ~ table ~ "'))"
    ) | length -%}
    {%- if is_plain -%}
        {{ log(call, info=true) }}
        {%- do run_query('begin') -%}
        {%- do run_query('select ' ~ call) -%}
        {%- do run_query('commit') -%}
    {%- endif -%}
{% endmacro %}
