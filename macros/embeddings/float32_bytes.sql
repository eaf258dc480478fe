{# A number as the four bytes of a little-endian float32, the format of stored vectors. #}
{% macro float32_bytes(number) -%}
    substring(float4send(({{ number }})::real) from 4 for 1)
    || substring(float4send(({{ number }})::real) from 3 for 1)
    || substring(float4send(({{ number }})::real) from 2 for 1)
    || substring(float4send(({{ number }})::real) from 1 for 1)
{%- endmacro %}
