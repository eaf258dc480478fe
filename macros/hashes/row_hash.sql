{# The sha-256 (hex) of a row's values in order, as the canonical text of a JSON array. Python
   stores the same hash (regime_engine.database.row_hash), so that the audit finds an edited row. A
   timestamp is hashed as its epoch, because its text depends on the session's time zone. #}
{% macro row_hash(values) -%}
    encode(sha256(convert_to(jsonb_build_array({{ values | join(', ') }})::text, 'UTF8')), 'hex')
{%- endmacro %}
