{# A 64-bit hash of a row's price. The xor of the hashes of many rows compares two sets of prices;
   two different sets have the same xor with probability 2^-64. What is missing is hashed as -1, which
   is no volume, opening price or range. #}
{% macro price_hash() -%}
    hashfloat8extended(
        close,
        hashfloat8extended(
            adjusted_close,
            hashfloat8extended(
                coalesce(volume, -1),
                hashfloat8extended(
                    coalesce(open, -1),
                    hashfloat8extended(
                        coalesce(log_range, -1), trade_date - '2000-01-01'::date
                    )
                )
            )
        )
    )
{%- endmacro %}
