{# Whether the series is the vote of the regions (`regime global`), which has no windows, embeddings
   or models of its own. #}
{% macro is_voted(region) -%}
    {{ region }} = 'GLOBAL'
{%- endmacro %}
