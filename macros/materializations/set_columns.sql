{# Gives a table these columns, in the transaction that has just deleted its rows. A view that reads
   a column which is removed, or gets another type, is dropped if this command builds it again; if
   it does not, nothing is changed. Nothing is locked if the columns are these already.
   columns: name → type; not_null: the names of those that are never null #}
{% macro set_columns(relation, columns, not_null=[]) %}
    {%- set wanted = [] -%}
    {%- for name, type in columns.items() -%}
        {%- do wanted.append("('" ~ name ~ "', '" ~ type ~ "')") -%}
    {%- endfor -%}
    {%- set different %}
        select
            coalesce(present.attname::text, wanted.name) as name,
            wanted.type,
            present.attname is not null as is_present

        from (values {{ wanted | join(', ') }}) as wanted (name, type)
        full join (

            select
                attname,
                atttypid

            from pg_attribute
            where attrelid = '{{ relation }}'::regclass and attnum > 0 and not attisdropped

        ) as present on wanted.name = present.attname::text
        where to_regtype(wanted.type) is distinct from present.atttypid
    {% endset -%}
    {%- set different = run_query(different) -%}

    {%- set replaced = different | selectattr('is_present') | map(attribute='name') | list -%}
    {%- set views = run_query(dependent_views(relation, replaced)) if replaced else [] -%}
    {%- set lost = views | rejectattr('is_built_again') | map(attribute='name') | sort -%}
    {%- if lost -%}
        {{ exceptions.raise_compiler_error(columns_change(relation, lost | join(', '))) }}
    {%- endif -%}
    {%- if views -%}
        {%- do run_query('drop view ' ~ views | map(attribute='name') | join(', ')) -%}
    {%- endif -%}
    {%- for column in different -%}
        {%- set name = adapter.quote(column['name']) -%}
        {%- if not column['is_present'] -%}
            {%- set change = 'add column ' ~ name ~ ' ' ~ column['type'] -%}
        {%- elif column['type'] is none -%}
            {%- set change = 'drop column ' ~ name -%}
        {%- else -%}
            {%- set change = 'alter column ' ~ name ~ ' type ' ~ column['type']
                ~ ' using null::' ~ column['type'] -%}
        {%- endif -%}
        {%- do run_query('alter table ' ~ relation ~ ' ' ~ change) -%}
    {%- endfor -%}

    {%- set nullable = run_query(
        "select attname::text from pg_attribute where attrelid = '" ~ relation ~ "'::regclass"
        ~ " and attnum > 0 and not attisdropped and not attnotnull"
    ).columns[0].values() -%}
    {%- for name in not_null if name in nullable -%}
        {%- do run_query(
            'alter table ' ~ relation ~ ' alter column ' ~ adapter.quote(name) ~ ' set not null'
        ) -%}
    {%- endfor -%}
{% endmacro %}
