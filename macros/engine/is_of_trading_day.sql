{# Whether a regime is of a day on which its instrument traded. `regime run --as-of` can write a
   regime for a weekend; it repeats the last trading day and does not count as another day. #}
{% macro is_of_trading_day() -%}
    coalesce(metadata ->> 'last_trade_date' = to_char(as_of_date, 'YYYY-MM-DD'), true)
{%- endmacro %}
