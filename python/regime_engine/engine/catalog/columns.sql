-- The columns of tables, and the defaults that a view's columns can have.
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
        attrelid,
        attname,
        concat_ws(
            ' ',
            format_type(atttypid, atttypmod),
            'collate ' || nullif(nullif(attcollation, 0), typcollation)::regcollation::text,
            case when attnotnull then 'not null' end,
            case attgenerated when '' then 'default' else 'generated' end
            || ' ' || pg_get_expr(adbin, adrelid),
            case attidentity when 'a' then 'identity always' when 'd' then 'identity by default' end
        ) as definition

    from pg_attribute
    inner join pg_type on atttypid = pg_type.oid
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where
        attnum > 0
        and not attisdropped

),

expected as (

    select
        tables.oid,
        described.attname,
        described.definition

    from tables
    inner join described on attrelid = candidate_oid

),

present as (

    select
        tables.oid,
        described.attname,
        described.definition

    from tables
    inner join described on attrelid = tables.oid

)

select
    tables.kind,
    tables.object,
    case
        when expected.attname is null then 'has a column more'
        when present.attname is null then 'lacks a column'
        else 'has another column'
    end as fault,
    coalesce(quote_ident(expected.attname) || ' ' || expected.definition, '') as expected,
    coalesce(quote_ident(present.attname) || ' ' || present.definition, '') as found,
    case
        when expected.attname is null
            then format('alter table %s drop column %I', tables.object, present.attname)
        when present.attname is null
            then
                format(
                    'alter table %s add column %I %s',
                    tables.object, expected.attname, expected.definition
                )
        else format('alter table %s alter column %I …', tables.object, present.attname)
    end as what_to_run
from expected
full join present using (oid, attname)
inner join tables using (oid)
where expected.definition is distinct from present.definition

union all

select
    kind,
    object,
    'has a column with a default' as fault,
    '' as expected,
    format('%I default %s', attname, pg_get_expr(adbin, adrelid)) as found,
    format('alter view %s alter column %I drop default', object, attname) as what_to_run
from pg_temp.expected_objects
inner join pg_attrdef on adrelid = expected_objects.oid
inner join pg_attribute on attrelid = adrelid and attnum = adnum
where kind = 'view'
