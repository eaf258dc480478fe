-- What changes how every statement here is carried out: event triggers, casts between Postgres's own
-- types, and what was added to pg_catalog or replaced in it. Those of an extension are left out.
with

of_extensions as (

    select
        classid,
        objid

    from pg_depend
    inner join pg_extension on refobjid = pg_extension.oid
    where
        refclassid = 'pg_extension'::regclass
        and deptype = 'e'
        -- It is in every database and has none of these, so that anything here was put into it.
        and extname <> 'plpgsql'

),

event_triggers as (

    select
        'event trigger' as kind,
        quote_ident(evtname) as object,
        'runs at every change of an object' as fault,
        format('%%s: %%s', evtevent, evtfoid::regprocedure) as found,
        format(
            'alter event trigger %%I disable, or add it to REGIME_KNOWN_EVENT_TRIGGERS', evtname
        ) as what_to_run

    from pg_event_trigger
    where
        evtenabled <> 'D'
        and evtname <> all(%(known_event_triggers)s::text[])
        and not exists (
            select 1
            from of_extensions
            where classid = 'pg_event_trigger'::regclass and objid = pg_event_trigger.oid
        )

),

-- A cast by another function can give any value. Its types are known to every statement, whatever the
-- search_path is.
casts as (

    select
        'cast' as kind,
        format('(%%s as %%s)', castsource::regtype, casttarget::regtype) as object,
        'changes a type of Postgres' as fault,
        castfunc::regprocedure::text as found,
        format('drop cast (%%s as %%s)', castsource::regtype, casttarget::regtype) as what_to_run

    from pg_cast
    where
        pg_cast.oid >= 16384
        and castsource < 16384
        and casttarget < 16384
        and castmethod = 'f'
        and not exists (
            select 1
            from of_extensions
            where classid = 'pg_cast'::regclass and objid = pg_cast.oid
        )

),

functions as (

    select
        'function' as kind,
        added.oid::regprocedure::text as object,
        'has the name of a function of Postgres' as fault,
        added.oid::regprocedure::text as found,
        format('drop routine %%s', added.oid::regprocedure) as what_to_run

    from pg_proc as added
    where
        added.oid >= 16384
        and added.pronamespace = 'pg_catalog'::regnamespace
        and exists (select 1 from pg_proc where oid < 16384 and proname = added.proname)
        and not exists (
            select 1
            from of_extensions
            where classid = 'pg_proc'::regclass and objid = added.oid
        )

),

operators as (

    select
        'operator' as kind,
        added.oid::regoperator::text as object,
        'has the name of an operator of Postgres' as fault,
        added.oprcode::text as found,
        format('drop operator %%s', added.oid::regoperator) as what_to_run

    from pg_operator as added
    where
        added.oid >= 16384
        and added.oprnamespace = 'pg_catalog'::regnamespace
        and exists (select 1 from pg_operator where oid < 16384 and oprname = added.oprname)
        and not exists (
            select 1
            from of_extensions
            where classid = 'pg_operator'::regclass and objid = added.oid
        )

),

-- The last number of a transaction that made the cluster.
made as (

    select max(xmin::text::bigint) as xid
    from pg_class
    where
        relnamespace = 'information_schema'::regnamespace
        and oid < 16384

),

-- What every cluster has. A function in C is called by its number, whatever its row says, so that only
-- one in SQL can be replaced; a row with rights of its own may have been granted or revoked since.
native as (

    select 'pg_proc'::regclass as classid, oid, xmin from pg_proc
    where prolang = (select oid from pg_language where lanname = 'sql') and proacl is null
    union all
    select 'pg_operator'::regclass as classid, oid, xmin from pg_operator
    union all
    select 'pg_cast'::regclass as classid, oid, xmin from pg_cast
    union all
    select 'pg_opclass'::regclass as classid, oid, xmin from pg_opclass
    union all
    select 'pg_amop'::regclass as classid, oid, xmin from pg_amop
    union all
    select 'pg_amproc'::regclass as classid, oid, xmin from pg_amproc
    union all
    select 'pg_proc'::regclass as classid, aggfnoid as oid, xmin from pg_aggregate

),

changed as (

    select distinct
        identity.type as kind,
        identity.identity as object,
        'was changed since the cluster was made' as fault,
        'a row of ' || classid::regclass as found,
        'compare it with that of a new cluster of the same version' as what_to_run

    from native
    cross join made
    cross join lateral pg_identify_object(classid, oid, 0) as identity
    where
        oid < 16384
        -- Numbers of transactions go round.
        and (native.xmin::text::bigint - made.xid + 4294967296) %% 4294967296
        between 1 and 2147483647

)

select
    kind,
    object,
    fault,
    '' as expected,
    found,
    what_to_run
from (
    select * from event_triggers
    union all
    select * from casts
    union all
    select * from functions
    union all
    select * from operators
    union all
    select * from changed
) as surroundings
