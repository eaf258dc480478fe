{# A jsonb text as the uuid that it writes; null for any other value. #}
{% macro uuid_or_null(value) -%}
    case
        when {{ value }} #>> '{}' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            then ({{ value }} #>> '{}')::uuid
    end
{%- endmacro %}
