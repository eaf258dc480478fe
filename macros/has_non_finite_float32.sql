{# Whether a little-endian float32 vector holds a NaN or an infinity: all eight bits of the exponent
   set, which are the low seven of a number's last byte and the high one of the byte before. #}
{% macro has_non_finite_float32(vector) -%}
    encode({{ vector }}, 'hex') ~ '^(.{8})*.{4}[89a-f].[7f]f'
{%- endmacro %}
