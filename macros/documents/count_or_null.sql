{# A jsonb number as the integer that it is; null for any other value. #}
{% macro count_or_null(value) -%}
    case when {{ is_of_kind(value, 'count') }} then ({{ value }} #>> '{}')::integer end
{%- endmacro %}
