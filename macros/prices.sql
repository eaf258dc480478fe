{# Where the prices are, as the vars say. #}
{% macro prices() -%}
    {{ return(ref(var('prices_model')) if var('prices_model') else source('historical', 'prices_daily')) }}
{%- endmacro %}
