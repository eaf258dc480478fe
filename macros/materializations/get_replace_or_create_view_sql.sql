{# `create or replace view`. If Postgres refuses it, because a column was removed, renamed or got
   another type (42P16), the view is dropped and created, unless a view outside this project depends
   on it. #}
{% macro get_replace_or_create_view_sql(relation, sql) %}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif -%}
    {%- set own = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- do own.append("('" ~ node.schema ~ "', '" ~ node.alias ~ "')") -%}
    {%- endfor -%}
    do $replace$
    declare
        foreign_views text;
    begin
        create or replace view {{ relation }} as (
            {{ sql }}
        );
    exception when invalid_table_definition then
        with recursive

        dependents as (

            select '{{ relation }}'::regclass::oid as oid

            union

            select pg_rewrite.ev_class
            from dependents
            inner join pg_depend
                on
                    pg_depend.refclassid = 'pg_class'::regclass
                    and pg_depend.refobjid = dependents.oid
                    and pg_depend.classid = 'pg_rewrite'::regclass
            inner join pg_rewrite on pg_rewrite.oid = pg_depend.objid

        )

        select string_agg(dependents.oid::regclass::text, ', ' order by 1)
        into foreign_views
        from dependents
        inner join pg_class on pg_class.oid = dependents.oid
        where
            (pg_class.relnamespace::regnamespace::text, pg_class.relname::text)
            not in ({{ own | join(', ') }});

        if foreign_views is not null then
            raise exception 'the columns of % change, and other views read it: drop % first',
                '{{ relation }}', foreign_views;
        end if;
        drop view {{ relation }} cascade;
        create view {{ relation }} as (
            {{ sql }}
        );
    end
    $replace$
{% endmacro %}
