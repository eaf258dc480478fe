{# The truth value that a jsonb value is; null if it is none. #}
{% macro json_boolean(value) -%}
    case {{ value }} when 'true'::jsonb then true when 'false'::jsonb then false end
{%- endmacro %}
