{# A jsonb object; for any other value one without entries. #}
{% macro object_or_empty(value) -%}
    case when jsonb_typeof({{ value }}) = 'object' then {{ value }} else '{}' end
{%- endmacro %}
