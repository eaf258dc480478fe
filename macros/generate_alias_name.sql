{# A model's or seed's table is named as the environment says, by REGIME_ALIAS_ and its name in capitals:
   Python reads the same variable. Without one, as in dbt: its `alias`, else its own name. #}
{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- set named = env_var('REGIME_ALIAS_' ~ node.name | upper, '')
        if node.resource_type in ('model', 'seed') -%}
    {{ named or (custom_alias_name or node.name) | trim }}
{%- endmacro %}
