{# 64 bits of what a row says of its price, to compare many rows by the xor of theirs: two sets of
   prices that differ pass for equal once in 2^64 times. Staging refuses negative volumes, so that
   -1 stands for none. #}
{% macro price_hash() -%}
    hashfloat8extended(
        close,
        hashfloat8extended(
            adjusted_close,
            hashfloat8extended(coalesce(volume, -1), trade_date - '2000-01-01'::date)
        )
    )
{%- endmacro %}
