-- What was added to a table or view: triggers, rules, policies, children and parents.
with

objects as (

    select * from pg_temp.expected_objects
    where kind <> 'function'

),

-- Citus adds triggers of its own to the tables that it distributes.
functions_of_citus as (

    select objid
    from pg_depend
    inner join pg_extension on refobjid = pg_extension.oid
    where
        classid = 'pg_proc'::regclass
        and refclassid = 'pg_extension'::regclass
        and deptype = 'e'
        and extname in ('citus', 'citus_columnar')

)

select
    kind,
    object,
    'has a trigger' as fault,
    '' as expected,
    pg_get_triggerdef(pg_trigger.oid) || case when tgenabled = 'D' then ' (disabled)' else '' end
        as found,
    format('drop trigger %I on %s', tgname, object) as what_to_run
from objects
inner join pg_trigger on tgrelid = objects.oid
where
    not tgisinternal
    -- A trigger of the partitioned table is named there.
    and tgparentid = 0
    and tgfoid not in (select objid from functions_of_citus)

union all

select
    kind,
    object,
    case when ev_type = '1' then 'has its rule changed' else 'has a rule' end as fault,
    '' as expected,
    case
        when ev_type = '1' then format('ev_enabled is %s', ev_enabled)
        else pg_get_ruledef(pg_rewrite.oid)
    end as found,
    format(
        case
            when ev_type = '1' then 'alter table %2$s enable rule %1$I'
            else 'drop rule %1$I on %2$s'
        end,
        rulename, object
    ) as what_to_run
from objects
inner join pg_rewrite on ev_class = objects.oid
where ev_type <> '1' or ev_enabled <> 'O'

union all

select
    kind,
    object,
    'has a policy' as fault,
    '' as expected,
    concat_ws(
        ' ', polname, 'using', pg_get_expr(polqual, polrelid),
        'with check', pg_get_expr(polwithcheck, polrelid)
    ) as found,
    format('drop policy %I on %s', polname, object) as what_to_run
from objects
inner join pg_policy on polrelid = objects.oid

union all

select
    kind,
    object,
    'has a child whose rows it shows' as fault,
    '' as expected,
    inhrelid::regclass::text as found,
    format('alter table %s no inherit %s', inhrelid::regclass, object) as what_to_run
from objects
inner join pg_class on pg_class.oid = objects.oid
inner join pg_inherits on inhparent = objects.oid
where relkind <> 'p'

union all

select
    kind,
    object,
    'inherits from another table' as fault,
    '' as expected,
    inhparent::regclass::text as found,
    case
        when relispartition
            then format('alter table %s detach partition %s', inhparent::regclass, object)
        else format('alter table %s no inherit %s', object, inhparent::regclass)
    end as what_to_run
from objects
inner join pg_class on pg_class.oid = objects.oid
inner join pg_inherits on inhrelid = objects.oid
where kind <> 'partition' or not relispartition
