with

expected as (

    select
        schema_name,
        name,
        kind,
        what_to_run

    from {{ relations_of_the_project() }} as of_the_project

),

present as (

    select
        nspname as schema_name,
        relname as name,
        case when relkind = 'v' then 'view' else 'table' end as kind

    from pg_catalog.pg_class
    inner join pg_catalog.pg_namespace on pg_class.relnamespace = pg_namespace.oid
    where relkind in ('r', 'p', 'v')

    union

    select
        nspname as schema_name,
        proname as name,
        'function' as kind

    from pg_catalog.pg_proc
    inner join pg_catalog.pg_namespace on pg_proc.pronamespace = pg_namespace.oid

),

missing as (

    select
        expected.schema_name,
        expected.name,
        expected.kind,
        expected.what_to_run

    from expected
    left join present
        on
            expected.schema_name = present.schema_name
            and expected.name = present.name
            and expected.kind = present.kind
    where present.name is null

)

select * from missing
