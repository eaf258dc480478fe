{# The team's column for one of ours, typed; null where the var `prices_columns` names none. #}
{% macro price_column(name, type) -%}
    {%- set column = var('prices_columns').get(name) -%}
    {%- if column -%} {{ adapter.quote(column) }}::{{ type }} {%- else -%} null::{{ type }} {%- endif -%}
{%- endmacro %}
