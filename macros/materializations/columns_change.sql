{# What a build says that would have to drop these views, and would not create them again. #}
{% macro columns_change(relation, views) -%}
    the columns of {{ relation.include(database=false) }} change, and this command does not build the views that read it: drop {{ views }} first, or build the views of this project in the same command
{%- endmacro %}
