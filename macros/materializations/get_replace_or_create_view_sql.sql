{# `create or replace view`, unless the view is as it should be already: replacing one waits until
   nobody reads it, so that an open transaction of a reader would hold up a build. If Postgres refuses it, because a column was removed, renamed or got
   another type (42P16), the view is dropped and created, together with the views on it that this
   command builds again. If any other view reads it, nothing is dropped. #}
{% macro get_replace_or_create_view_sql(relation, sql) %}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif -%}
    {%- set candidate = relation.incorporate(
        path={'identifier': 'candidate_' ~ local_md5(relation.identifier)}
    ) %}
    do $replace$
    declare
        is_unchanged boolean;
        lost text;
        built_again text;
    begin
        if to_regclass('{{ relation }}') is not null then
            create view {{ candidate }} as (
                {{ sql }}
            );
            select
                pg_get_viewdef(oid) = pg_get_viewdef('{{ candidate }}'::regclass)
                and reloptions is null
            into is_unchanged
            from pg_class
            where oid = '{{ relation }}'::regclass;
            drop view {{ candidate }};
            if is_unchanged then
                return;
            end if;
        end if;
        create or replace view {{ relation }} as (
            {{ sql }}
        );
    exception when invalid_table_definition then
        select
            string_agg(name, ', ' order by name) filter (where not is_built_again),
            concat(', ' || string_agg(name, ', ') filter (where is_built_again))
        into lost, built_again
        from (
            {{ dependent_views(relation) }}
        ) as dependents;

        if lost is not null then
            raise exception '{{ columns_change(relation, '%') }}', lost;
        end if;
        execute 'drop view {{ relation }}' || built_again;
        create view {{ relation }} as (
            {{ sql }}
        );
    end
    $replace$
{% endmacro %}
