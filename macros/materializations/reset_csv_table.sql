{# Empties the table of a seed before its rows are inserted. dbt's own macro drops the table with
   `--full-refresh`, and with it the views that read it; otherwise it truncates, which waits for
   every reader. Here the rows are deleted, and `--full-refresh` also sets the columns: those of the
   file, and those that the yml describes. #}
{% macro reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- set delete = 'delete from ' ~ old_relation -%}
    {%- call statement('_') %} {{ delete }} {% endcall -%}
    {%- if full_refresh -%}
        {%- set given = model.config.get('column_types', {}) -%}
        {%- set types = {} -%}
        {%- for name in model.columns if name in given -%}
            {%- do types.update({name: given[name]}) -%}
        {%- endfor -%}
        {%- for name in agate_table.column_names -%}
            {%- set inferred = adapter.convert_type(agate_table, loop.index0) -%}
            {%- do types.update({name | lower: given.get(name, inferred)}) -%}
        {%- endfor -%}
        {%- do set_columns(old_relation, types) -%}
    {%- endif -%}
    {{ return(delete) }}
{% endmacro %}
