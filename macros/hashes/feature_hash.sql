{# The first 64 bits of the sha-256 of a row's date and features; a null is hashed as NaN. #}
{% macro feature_hash() -%}
    (
        'x' || left(
            encode(
                sha256(
                    date_send(trade_date)
                    {%- for column in [
                        'close', 'volume', 'log_return', 'adjusted_close', 'adjusted_log_return',
                        'relative_log_volume', 'log_range', 'overnight_gap'
                    ] %}
                    || float8send(coalesce({{ column }}, 'NaN'))
                    {%- endfor %}
                ),
                'hex'
            ),
            16
        )
    )::bit(64)::bigint
{%- endmacro %}
