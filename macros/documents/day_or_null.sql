{# A jsonb text as the date that it writes; null for any other value. #}
{% macro day_or_null(value) -%}
    (jsonb_path_query_first({{ value }}, '$.datetime("YYYY-MM-DD")', '{}', true) #>> '{}')::date
{%- endmacro %}
