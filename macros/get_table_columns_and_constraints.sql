{# dbt-postgres ends the definition of a contract's table with this; what the config partition_by says
   of it belongs right behind. #}
{% macro get_table_columns_and_constraints() -%}
    {{ table_columns_and_constraints() }}
    {%- if config.get('partition_by') %} partition by {{ config.get('partition_by') }} {%- endif -%}
{%- endmacro %}
