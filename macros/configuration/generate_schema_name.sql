{# The schema of a node whose config names a layer (historical, staging, features, runtime, audit, or
   audit_failures). With the var `schemas: environment` it is the value of REGIME_…_SCHEMA, or else the
   layer's own name; Python reads the same variables. With `schemas: target` it is the schema of the
   target, an underscore and the layer, as dbt names schemas by default. Any other name is used as it
   is written. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set name = custom_schema_name | trim if custom_schema_name -%}
    {%- if var('schemas') not in ('environment', 'target') -%}
        {{ exceptions.raise_compiler_error(
            "the var schemas is '" ~ var('schemas') ~ "': say environment or target"
        ) }}
    {%- elif not name -%}
        {{ target.schema }}
    {%- elif var('schemas') == 'target' -%}
        {{ target.schema }}_{{ name }}
    {%- else -%}
        {%- set layer = name | replace('_failures', '') -%}
        {%- if layer in ('historical', 'staging', 'features', 'runtime', 'audit') -%}
            {{ env_var('REGIME_' ~ layer | upper ~ '_SCHEMA', '') or layer }}{{ name[layer | length:] }}
        {%- else -%}
            {{ name }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
