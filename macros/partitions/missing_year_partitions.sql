{# A query for the partitions to create: name, year, and the name of the default partition that
   exists. The default partition has no year and comes last. If there is no first_year, the years
   are this year and the next. #}
{% macro missing_year_partitions(relation, first_year) %}
    with

    wanted as (

        select
            '{{ relation.identifier }}_' || coalesce(year::text, 'default') as name,
            year

        from generate_series(
            {{ first_year or "extract(year from current_date)::integer" }},
            extract(year from current_date)::integer + 1
        ) as years (year)
        full join (values (null::integer)) as no_year (year) using (year)

    ),

    present as (

        select
            relname as name,
            pg_get_expr(relpartbound, pg_class.oid) = 'DEFAULT' as is_default

        from pg_inherits
        inner join pg_class on inhrelid = pg_class.oid
        where inhparent = '{{ relation }}'::regclass

    )

    select
        wanted.name,
        wanted.year,
        (select name from present where is_default) as default_name

    from wanted
    where
        wanted.name not in (select name from present)
        and (wanted.year is not null or not exists (select from present where is_default))
    order by wanted.year
{% endmacro %}
