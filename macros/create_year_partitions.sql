{# The partitions that a table partitioned by a date lacks: one a year from the first year on to the
   next year, ahead of its need, and a default one that takes every other date. A year of which the
   default one has rows already stays in it. Where nothing is missing, nothing is locked. #}
{% macro create_year_partitions(relation, date_column, first_year) %}
    {%- if not execute or not is_partitioned(relation) -%} {{ return('') }} {%- endif -%}
    {%- set missing = run_query(missing_year_partitions(relation, first_year)) -%}
    {%- for partition in missing %}
        {%- set name = adapter.quote(relation.schema) ~ '.' ~ adapter.quote(partition['name']) -%}
        {%- if partition['year'] is none %}
    create table {{ name }} partition of {{ relation }} default;
        {%- else -%}
            {%- set from_day = "'" ~ partition['year'] ~ "-01-01'" -%}
            {%- set to_day = "'" ~ (partition['year'] + 1) ~ "-01-01'" -%}
            {%- set is_taken = partition['default_name'] is not none and run_query(
                "select 1 from " ~ adapter.quote(relation.schema) ~ "."
                ~ adapter.quote(partition['default_name']) ~ " where " ~ date_column ~ " >= "
                ~ from_day ~ " and " ~ date_column ~ " < " ~ to_day ~ " limit 1"
            ) | length -%}
            {%- if not is_taken %}
    create table {{ name }} partition of {{ relation }} for values from ({{ from_day }}) to ({{ to_day }});
            {%- endif -%}
        {%- endif -%}
    {%- endfor %}
{% endmacro %}
