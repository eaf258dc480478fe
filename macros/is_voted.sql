{# Whether the series is the vote of the regions (`regime global`), which has no windows, embeddings
   and models of its own. #}
{% macro is_voted(region) -%}
    {{ region }} = 'GLOBAL'
{%- endmacro %}
