{# The window_hash of a window's rows, as an aggregate over them: sha-256 of the date and features
   of each row in order. #}
{% macro window_hash(columns) -%}
    encode(sha256(string_agg({{ feature_bytes(columns) }}, ''::bytea order by trade_date)), 'hex')
{%- endmacro %}
