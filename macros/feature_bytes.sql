{# One row of daily_features as a window's hash sees it: the date in 4 bytes, each feature in 8.
   A null feature counts as NaN, as it does in Python. #}
{% macro feature_bytes(columns) -%}
    date_send(trade_date)
    {%- for column in columns %} || float8send(coalesce({{ column }}, 'NaN')){% endfor %}
{%- endmacro %}
