{# A number of a vector that stands for a missing one if it is minus zero. #}
{% macro encoded_or_null(number) -%}
    case when float4send({{ number }}) <> '\x80000000' then {{ number }} end
{%- endmacro %}
