{# Schemas are named as written (features, staging …), not prefixed with the target's schema:
   Python, psql and dbt then speak of one name. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
