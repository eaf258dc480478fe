{# A statement that adds a column to a table that is there without it, else nothing: `add column if not
   exists` would wait until nobody reads the table. #}
{% macro add_column_if_missing(relation, name, type) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set lacking = run_query(
        "select 1 from pg_class where oid = to_regclass('" ~ relation ~ "') and not exists ("
        ~ "select from pg_attribute where attrelid = pg_class.oid and not attisdropped"
        ~ " and attname = '" ~ name ~ "')"
    ) -%}
    {%- if lacking -%}
    alter table {{ relation }} add column {{ adapter.quote(name) }} {{ type }}
    {%- endif -%}
{% endmacro %}
