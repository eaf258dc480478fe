{# The table name of a model or seed: the environment variable REGIME_ALIAS_ with its name in
   capitals, which Python reads too. If there is none, dbt's default: the `alias`, or else the
   model's own name. #}
{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- set named = env_var('REGIME_ALIAS_' ~ node.name | upper, '')
        if node.resource_type in ('model', 'seed') -%}
    {{ named or (custom_alias_name or node.name) | trim }}
{%- endmacro %}
