{# The table or model that the vars name as the source of prices. #}
{% macro prices() -%}
    {{ return(ref(var('prices_model')) if var('prices_model') else source('historical', 'prices_daily')) }}
{%- endmacro %}
