{# Whether Citus is installed and its functions are on the search path. #}
{% macro has_citus() -%}
    {%- set found = run_query(
        "select 1 from pg_proc where proname = 'create_distributed_table'"
        ~ " and pg_function_is_visible(oid) limit 1"
    ) -%}
    {{ return(found | length > 0) }}
{%- endmacro %}
