{# Whether the relation exists and is a partitioned table. #}
{% macro is_partitioned(relation) -%}
    {%- set found = run_query(
        "select 1 from pg_class where oid = to_regclass('" ~ relation.include(database=false)
        ~ "') and relkind = 'p'"
    ) -%}
    {{ return(found | length > 0) }}
{%- endmacro %}
