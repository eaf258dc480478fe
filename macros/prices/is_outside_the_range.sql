{# Whether a price of the day is below `low` or above `high` by more than their rounding: one unit of
   the last digit that the two have, at most 0.5 % of the price, and a millionth of it for prices that
   were float32. #}
{% macro is_outside_the_range(price) -%}
    greatest({{ price }} - high, low - {{ price }}) > 1e-6 * high + least(
        0.005 * low,
        (
            '1e-' || greatest(scale(trim_scale(high::numeric)), scale(trim_scale(low::numeric)))
        )::double precision
    )
{%- endmacro %}
