{# Whether a jsonb value is an array that is not empty, or is of a length if one is given. #}
{% macro is_array(value, length=none) -%}
    case
        when jsonb_typeof({{ value }}) = 'array'
            then jsonb_array_length({{ value }}) {{ '> 0' if length is none else '= ' ~ length }}
        else false
    end
{%- endmacro %}
