-- The project's objects, and the partitions of its tables, each with the temporary object that is as it
-- should be. `kind` of a partition is partition.
create temporary table expected_objects on commit drop as

with

listed as (

    select *
    from jsonb_to_recordset(%(objects)s::jsonb) as listed (
        kind text,
        name text,
        schema_name text,
        alias text,
        candidate text,
        grants jsonb,
        may_be_partitioned boolean,
        built_by text
    )

),

located as (

    select
        kind,
        name,
        schema_name,
        alias,
        format('%%I.%%I', schema_name, alias) as object,
        to_regclass(format('%%I.%%I', schema_name, alias))::oid as oid,
        case
            when kind = 'function'
                then (
                    select oid
                    from pg_proc
                    where proname = candidate and pronamespace = pg_my_temp_schema()
                )
            when candidate <> '' then to_regclass(format('pg_temp.%%I', candidate))::oid
        end as candidate_oid,
        grants,
        may_be_partitioned,
        built_by

    from listed

)

select *
from located

union all

select
    'partition' as kind,
    located.name,
    nspname as schema_name,
    relname as alias,
    tree.relid::regclass::text as object,
    tree.relid::oid as oid,
    located.candidate_oid,
    located.grants,
    located.may_be_partitioned,
    located.built_by
from located
cross join lateral pg_partition_tree(located.oid) as tree
inner join pg_class on tree.relid = pg_class.oid
inner join pg_namespace on relnamespace = pg_namespace.oid
where
    located.kind = 'table'
    and tree.level > 0
