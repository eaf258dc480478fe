{# The team's column that the var `prices_columns` names for one of ours, cast to the type; null if
   the var names none. #}
{% macro price_column(name, type) -%}
    {%- set column = var('prices_columns').get(name) -%}
    {%- if column -%} {{ adapter.quote(column) }}::{{ type }} {%- else -%} null::{{ type }} {%- endif -%}
{%- endmacro %}
