{# The window_hash of a window's rows, as an aggregate over them: the xor of their feature_hash, in
   hexadecimal digits. The dates that are in each of those make it one of the rows' order too. #}
{% macro window_hash() -%}
    lpad(to_hex(bit_xor(feature_hash)), 16, '0')
{%- endmacro %}
