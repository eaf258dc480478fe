{# sha-256 (hex) over a row's values in order, as the canonical text of a JSON array. Python writes
   the same (regime_engine.database.row_hash), so that an edit of the row is found. A timestamp goes
   in as its epoch: the text of one depends on the session's time zone. #}
{% macro row_hash(values) -%}
    encode(sha256(convert_to(jsonb_build_array({{ values | join(', ') }})::text, 'UTF8')), 'hex')
{%- endmacro %}
