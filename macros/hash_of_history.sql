{# The window_hash of the window_days rows up to the instrument's day_number'th, from its history
   (macro feature_histories): equal to the macro window_hash of those rows. #}
{% macro hash_of_history(history, day_number, window_days) -%}
    encode(
        sha256(
            substring(
                {{ history }}.bytes
                from ({{ day_number }} - {{ window_days }}) * {{ history }}.row_bytes + 1
                for {{ window_days }} * {{ history }}.row_bytes
            )
        ),
        'hex'
    )
{%- endmacro %}
