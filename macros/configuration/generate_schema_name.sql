{# The schema name as it is written (features, staging …), without the prefix of the target's
   schema, so that Python, psql and dbt use the same name. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
