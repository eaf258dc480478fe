{# The truth value that a jsonb value is; null if it is none. #}
{% macro truth_or_null(value) -%}
    case {{ value }} when 'true'::jsonb then true when 'false'::jsonb then false end
{%- endmacro %}
