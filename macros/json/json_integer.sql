{# The integer that a jsonb value is; null if it is none. #}
{% macro json_integer(value) -%}
    case jsonb_typeof({{ value }})
        when 'number'
            then case
                when
                    abs(({{ value }})::numeric) < 2e9
                    and ({{ value }})::numeric = trunc(({{ value }})::numeric)
                    then ({{ value }})::integer
            end
    end
{%- endmacro %}
