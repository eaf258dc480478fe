{# The window_hash of a window's rows, as an aggregate over them: sha-256 of the date and features
   of each row in order. A null feature counts as NaN, as it does in Python. #}
{% macro window_hash(columns) -%}
    encode(
        sha256(
            string_agg(
                date_send(trade_date)
                {%- for column in columns %} || float8send(coalesce({{ column }}, 'NaN')){% endfor %},
                ''::bytea
                order by trade_date
            )
        ),
        'hex'
    )
{%- endmacro %}
