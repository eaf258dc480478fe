{# The hash over the rows of a run in one table: the sha-256 (hex) of a line for each entity or
   region, in the order of their bytes and separated by line feeds. A line is the JSON array of the
   name and the hash over its rows (run_contents). An aggregate; Python makes the same
   (regime_engine.seals). #}
{% macro contents_hash(name, sha256) -%}
    {%- set line = 'jsonb_build_array(' ~ name ~ ', ' ~ sha256 ~ ')::text' -%}
    encode(
        sha256(convert_to(string_agg({{ line }}, e'\n' order by {{ line }} collate "C"), 'UTF8')),
        'hex'
    )
{%- endmacro %}
