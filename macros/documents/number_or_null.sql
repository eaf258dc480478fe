{# The number that a jsonb value is, as double precision; null if it is no number, or if double
   precision cannot hold it. A cast would fail, and with it the view or the audit. #}
{% macro number_or_null(value) -%}
    case jsonb_typeof({{ value }})
        when 'number'
            then case
                when abs(({{ value }})::numeric) < 1e-300 then 0
                when abs(({{ value }})::numeric) < 1e300 then ({{ value }})::double precision
            end
    end
{%- endmacro %}
