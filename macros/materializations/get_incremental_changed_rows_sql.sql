{# The strategy delete+insert, for a query that also returns the keys of rows to delete. Such a row
   has a null in the column that the config `never_null` names; it is deleted and not inserted. With
   `--full-refresh` the query returns every row, and all rows are replaced in place: the table stays,
   and with it its rights and the views that read it. With `--empty` as well, no row is replaced. #}
{% macro get_incremental_changed_rows_sql(arg_dict) %}
    {%- set target, changed = arg_dict.target_relation, arg_dict.temp_relation -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}

    {%- if flags.FULL_REFRESH and not flags.EMPTY -%}
        {%- do run_query('delete from ' ~ target) -%}
        {%- set types, not_null = {}, [] -%}
        {%- for column in model.columns.values() -%}
            {%- do types.update({column.name: column.data_type}) -%}
            {%- if 'not_null' in column.constraints | map(attribute='type') -%}
                {%- do not_null.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do set_columns(target, types, not_null) -%}
    {%- else %}
    delete from {{ target }} as stored
    using {{ changed }} as changed
    where
        {% for column in arg_dict.unique_key -%}
        {{ 'and ' if not loop.first }}stored.{{ column }} = changed.{{ column }}
        {% endfor -%};
    {%- endif %}

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ changed }}
    where {{ config.require('never_null') }} is not null
{% endmacro %}
