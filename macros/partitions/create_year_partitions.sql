{# Statements that create the missing partitions of a table that is partitioned by a date: one for
   each year from first_year to next year, and a default partition for every other date. If the
   default partition already holds rows of a year, that year gets no partition of its own. If
   nothing is missing, nothing is locked. #}
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
