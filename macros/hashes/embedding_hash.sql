{# The sha-256 (hex) of an embedding's columns: the canonical text of a JSON array, followed by the
   bytes of the vector. Python stores the same hash (regime_engine.store.embeddings). #}
{% macro embedding_hash() -%}
    encode(
        sha256(
            convert_to(
                jsonb_build_array(
                    {%- for column in [
                        'entity_type', 'entity_id', 'as_of_date', 'model_id', 'window_days',
                        'window_spec', 'dimension', 'window_hash'
                    ] %}
                    {{ column }}{{ ',' if not loop.last }}
                    {%- endfor %}
                )::text,
                'UTF8'
            )
            || vector
        ),
        'hex'
    )
{%- endmacro %}
