-- Keys and checks: each is there as often as it should be, and holds for every row.
with

tables as (

    select expected_objects.*
    from pg_temp.expected_objects
    inner join pg_class using (oid)
    where
        kind in ('table', 'partition')
        and candidate_oid is not null
        and relkind in ('r', 'p')

),

described as (

    select
        conrelid,
        conname,
        pg_get_constraintdef(oid)
        || case when contype in ('p', 'u', 'x', 'f', 'c') and not convalidated
            and pg_get_constraintdef(oid) !~ 'NOT VALID|NOT ENFORCED' then ' NOT VALID' else '' end
            as definition,
        contype

    from pg_constraint
    -- A not null is compared with its column; it has a constraint of its own since Postgres 18.
    where contype in ('p', 'u', 'x', 'f', 'c')

),

expected as (

    select
        tables.oid,
        described.definition,
        count(*) as times

    from tables
    inner join described on conrelid = candidate_oid
    group by tables.oid, described.definition

),

present as (

    select
        tables.oid,
        described.definition,
        count(*) as times,
        min(described.conname) as conname,
        bool_or(contype = 'c') as is_check

    from tables
    inner join described on conrelid = tables.oid
    group by tables.oid, described.definition

)

select
    tables.kind,
    tables.object,
    'lacks a constraint' as fault,
    expected.definition as expected,
    '' as found,
    format('alter table %s add %s', tables.object, expected.definition) as what_to_run
from expected
inner join tables using (oid)
left join present using (oid, definition)
where present.times is null

union all

select
    tables.kind,
    tables.object,
    'has a constraint more' as fault,
    '' as expected,
    present.definition as found,
    format('alter table %s drop constraint %I', tables.object, present.conname) as what_to_run
from present
inner join tables using (oid)
left join expected using (oid, definition)
where
    expected.times is null
    -- A check lets a partition be attached without reading it.
    and not (tables.kind = 'partition' and present.is_check)

union all

select
    tables.kind,
    tables.object,
    'has a not null that was never checked' as fault,
    'validated' as expected,
    conname::text as found,
    format('alter table %s validate constraint %I', tables.object, conname) as what_to_run
from tables
inner join pg_constraint on conrelid = tables.oid
where contype = 'n' and not convalidated
