{# Whether a little-endian float32 vector holds a NaN or an infinity. Such a number has all eight
   bits of the exponent set: the low seven bits of its last byte and the high bit of the byte
   before. #}
{% macro has_non_finite_float32(vector) -%}
    encode({{ vector }}, 'hex') ~ '^(.{8})*.{4}[89a-f].[7f]f'
{%- endmacro %}
