{# The columns and constraints of a contract's table, with the config partition_by after them.
   dbt-postgres ends the table's definition with this macro. #}
{% macro get_table_columns_and_constraints() -%}
    {{ table_columns_and_constraints() }}
    {%- if config.get('partition_by') %} partition by {{ config.get('partition_by') }} {%- endif -%}
{%- endmacro %}
