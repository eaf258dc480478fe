{# `create or replace view`. If Postgres refuses it, because a column was removed, renamed or got
   another type (42P16), the view is dropped and created, together with the views on it that this
   command builds again. If any other view reads it, nothing is dropped. #}
{% macro get_replace_or_create_view_sql(relation, sql) %}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif -%}
    do $replace$
    declare
        lost text;
        built_again text;
    begin
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
