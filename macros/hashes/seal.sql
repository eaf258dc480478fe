{# The seal of a run: the sha-256 (hex) of its number, its digest and the seal of the run before it
   (null for the first), as the canonical text of a JSON array. Python writes the same
   (regime_engine.seals). #}
{% macro seal(seal_number, digest, seal_before) -%}
    {{ row_hash([seal_number, digest, seal_before]) }}
{%- endmacro %}
