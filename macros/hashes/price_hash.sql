{# A 64-bit hash of a row's price. The xor of the hashes of many rows compares two sets of prices;
   two different sets have the same xor with probability 2^-64. A missing volume is hashed as -1,
   which staging refuses as a volume. #}
{% macro price_hash() -%}
    hashfloat8extended(
        close,
        hashfloat8extended(
            adjusted_close,
            hashfloat8extended(coalesce(volume, -1), trade_date - '2000-01-01'::date)
        )
    )
{%- endmacro %}
