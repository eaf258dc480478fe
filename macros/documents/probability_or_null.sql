{# A jsonb number from 0 to 1 as float32; null for any other value. A number that is too small for
   float32 is 0, for which a cast would fail. #}
{% macro probability_or_null(value) -%}
    case
        when {{ number_or_null(value) }} between 1e-45 and 1 then ({{ value }})::double precision::real
        when {{ number_or_null(value) }} between 0 and 1e-45 then 0
    end
{%- endmacro %}
