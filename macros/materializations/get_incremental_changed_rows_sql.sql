{# The strategy delete+insert, for a query that also returns the keys of rows to delete. Such a row
   has a null in the column that the config `never_null` names; it is deleted and not inserted. #}
{% macro get_incremental_changed_rows_sql(arg_dict) %}
    {%- set target, changed = arg_dict.target_relation, arg_dict.temp_relation -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}

    delete from {{ target }} as stored
    using {{ changed }} as changed
    where
        {% for column in arg_dict.unique_key -%}
        {{ 'and ' if not loop.first }}stored.{{ column }} = changed.{{ column }}
        {% endfor -%};

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ changed }}
    where {{ config.require('never_null') }} is not null
{% endmacro %}
