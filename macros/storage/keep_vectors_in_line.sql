{# Statements that keep vectors of up to 8 kB in the row's own page, so that reading them takes no
   second look-up. A table or partition that already has the parameter is left alone. Existing rows
   are not moved. #}
{% macro keep_vectors_in_line(relation) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set tables = run_query(
        "select oid::regclass::text from pg_class where relkind = 'r'"
        ~ " and ('" ~ relation ~ "'::regclass = oid or exists ("
        ~ "select from pg_partition_tree('" ~ relation ~ "'::regclass) as leaf where leaf.relid = oid))"
        ~ " and not coalesce(array_to_string(reloptions, ' '), '') ~ 'toast_tuple_target'"
    ) -%}
    {%- for table in tables %}
    alter table {{ table[0] }} set (toast_tuple_target = 8160);
    {%- endfor %}
{% endmacro %}
