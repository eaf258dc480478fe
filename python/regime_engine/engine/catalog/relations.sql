-- What a table or view itself is: its kind, persistence, options, owner and row security.
with

objects as (

    select
        expected_objects.*,
        relkind,
        relpersistence,
        relrowsecurity or relforcerowsecurity as has_row_security,
        reloptions,
        pg_get_partkeydef(pg_class.oid) as partition_key

    from pg_temp.expected_objects
    left join pg_class on pg_class.oid = expected_objects.oid
    where kind <> 'function'

),

kinds (relkind, words) as (

    values
        ('r'::"char", 'table'),
        ('p', 'partitioned table'),
        ('v', 'view'),
        ('m', 'materialized view'),
        ('f', 'foreign table'),
        ('S', 'sequence'),
        ('c', 'composite type'),
        ('i', 'index')

),

owners as (

    select
        kind,
        object,
        relowner as owner,
        format('alter table %s owner to', object) as change

    from pg_temp.expected_objects
    inner join pg_class using (oid)
    -- Whoever is the first to need it creates this table.
    where name <> 'regime_locks'

    union all

    select
        kind,
        object,
        proowner as owner,
        format('alter function %s owner to', pg_proc.oid::regprocedure) as change

    from pg_temp.expected_objects
    inner join pg_proc on proname = alias
    inner join pg_namespace on pronamespace = pg_namespace.oid and nspname = schema_name
    where kind = 'function'

),

usual as (

    select mode() within group (order by owner) as owner
    from owners

)

select
    kind,
    object,
    'is missing' as fault,
    kind as expected,
    '' as found,
    built_by as what_to_run
from objects
where relkind is null

union all

select
    kind,
    object,
    'is of another kind' as fault,
    case when kind = 'view' then 'view' else 'table' end as expected,
    coalesce(words, objects.relkind::text)
    || coalesce(' by ' || partition_key, '') as found,
    'rename or drop it, then ' || built_by as what_to_run
from objects
left join kinds using (relkind)
where
    case kind
        when 'view' then objects.relkind <> 'v'
        when 'partition' then objects.relkind not in ('r', 'p')
        else
            objects.relkind <> 'r'
            and not (may_be_partitioned and partition_key = 'RANGE (as_of_date)')
    end

union all

select
    kind,
    object,
    'is not logged' as fault,
    'a table that survives a crash' as expected,
    case relpersistence when 'u' then 'unlogged' else 'temporary' end as found,
    format('alter table %s set logged', object) as what_to_run
from objects
where relpersistence <> 'p'

union all

select
    kind,
    object,
    'has options' as fault,
    '' as expected,
    array_to_string(reloptions, ', ') as found,
    format('alter view %s reset (…)', object) as what_to_run
from objects
where kind = 'view' and relkind = 'v' and reloptions is not null

union all

select
    kind,
    object,
    'has row security' as fault,
    'off' as expected,
    'on' as found,
    format('alter table %1$s no force row level security, disable row level security', object)
        as what_to_run
from objects
where has_row_security

union all

select
    kind,
    object,
    'has another owner' as fault,
    usual.owner::regrole::text as expected,
    owners.owner::regrole::text as found,
    change || ' ' || usual.owner::regrole::text as what_to_run
from owners
cross join usual
where owners.owner <> usual.owner
