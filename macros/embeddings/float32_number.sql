{# The number at a place (0, 1, 2 …) of a little-endian float32 vector. float32_array decodes a whole
   vector; this is faster for some of its numbers. Of numbers below 1e-38 it makes another that is as
   small.
   powers: an array of 2^(n - 151), n = 1 … 256 #}
{% macro float32_number(vector, place, powers) -%}
    case when get_byte({{ vector }}, 4 * {{ place }} + 3) < 128 then 1 else -1 end
    * (
        ((get_byte({{ vector }}, 4 * {{ place }} + 2) | 128) << 16)
        | (get_byte({{ vector }}, 4 * {{ place }} + 1) << 8)
        | get_byte({{ vector }}, 4 * {{ place }})
    )
    * {{ powers }}[
        1
        + (
            ((get_byte({{ vector }}, 4 * {{ place }} + 3) & 127) << 1)
            | (get_byte({{ vector }}, 4 * {{ place }} + 2) >> 7)
        )
    ]
{%- endmacro %}
