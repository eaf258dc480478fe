{# A var of dbt_project.yml, unless the environment has REGIME_ and its name in capitals: that reaches
   the project inside an installed package too. #}
{% macro setting(name) -%}
    {{ return(env_var('REGIME_' ~ name | upper, '') or var(name)) }}
{%- endmacro %}
