-- Who may write besides the owner: only whom the project grants it. And who may create in the schemas.
with

granted as (

    select
        kind,
        object,
        null::name as column_name,
        relowner as owner,
        grants,
        privilege.grantee,
        privilege.privilege_type

    from pg_temp.expected_objects
    inner join pg_class using (oid)
    cross join lateral aclexplode(relacl) as privilege

    union all

    select
        kind,
        object,
        attname as column_name,
        relowner as owner,
        grants,
        privilege.grantee,
        privilege.privilege_type

    from pg_temp.expected_objects
    inner join pg_class using (oid)
    inner join pg_attribute on attrelid = pg_class.oid
    cross join lateral aclexplode(attacl) as privilege

),

writing as (

    select
        *,
        case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role_name,
        lower(privilege_type) || coalesce(' (' || quote_ident(column_name) || ')', '') as privilege

    from granted
    where
        privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
        and grantee <> owner
        and not coalesce(grants -> lower(privilege_type) ? pg_get_userbyid(grantee), false)

)

select
    kind,
    object,
    'may be written by others' as fault,
    '' as expected,
    format('%s to %s', string_agg(privilege, ', ' order by privilege), role_name) as found,
    format(
        'revoke %s on %s from %s', string_agg(privilege, ', ' order by privilege), object, role_name
    ) as what_to_run
from writing
group by kind, object, role_name

union all

select
    'schema' as kind,
    quote_ident(nspname) as object,
    'may be filled by everybody' as fault,
    '' as expected,
    'create to public' as found,
    format('revoke create on schema %I from public', nspname) as what_to_run
from pg_namespace
cross join lateral aclexplode(nspacl) as privilege
where
    nspname in (select schema_name from pg_temp.expected_objects)
    -- Before Postgres 15 everybody may create there in a new database.
    and nspname <> 'public'
    and grantee = 0
    and privilege_type = 'CREATE'
