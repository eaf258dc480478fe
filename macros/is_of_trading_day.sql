{# Whether a regime is of a day on which its instrument traded: that of a weekend, which
   `regime run --as-of` writes, says again what the last trading day said, and is no day more. #}
{% macro is_of_trading_day() -%}
    coalesce(metadata ->> 'last_trade_date' = to_char(as_of_date, 'YYYY-MM-DD'), true)
{%- endmacro %}
