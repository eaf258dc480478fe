{# The environment variable REGIME_ with the setting's name in capitals, or else the var of
   dbt_project.yml. The variable also reaches a project that lies inside an installed package. #}
{% macro setting(name) -%}
    {{ return(env_var('REGIME_' ~ name | upper, '') or var(name)) }}
{%- endmacro %}
