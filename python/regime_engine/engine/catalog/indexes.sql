-- The indexes that hold a key are whole and valid, and none compares values in a way of its own.
with

indexes as (

    select
        expected_objects.kind,
        expected_objects.object,
        expected_objects.candidate_oid,
        pg_index.*

    from pg_temp.expected_objects
    inner join pg_index on indrelid = expected_objects.oid
    where kind in ('table', 'partition')

),

keys as (

    select
        indexes.kind,
        indexes.object,
        indexes.indexrelid,
        indexes.indisunique
        and indexes.indisprimary
        and indexes.indimmediate
        and indexes.indisvalid
        and indexes.indisready
        and indexes.indislive
        and indexes.indpred is null
        and indexes.indexprs is null
        and indexes.indclass::text = expected.indclass::text
        and indexes.indcollation::text = expected.indcollation::text as is_sound

    from indexes
    inner join pg_constraint on conindid = indexes.indexrelid and contype = 'p'
    inner join pg_index as expected on expected.indrelid = candidate_oid and expected.indisprimary

),

ways as (

    select
        indexes.kind,
        indexes.object,
        indexes.indexrelid,
        string_agg(distinct opcname, ', ') as names

    from indexes
    inner join pg_opclass on pg_opclass.oid = any(indclass)
    where
        pg_opclass.oid >= 16384
        and not exists (
            select 1
            from pg_depend
            where
                classid = 'pg_opclass'::regclass
                and objid = pg_opclass.oid
                and refclassid = 'pg_extension'::regclass
                and deptype = 'e'
        )
    group by indexes.kind, indexes.object, indexes.indexrelid

)

select
    kind,
    object,
    'has a key that does not hold' as fault,
    'a valid unique index over all rows' as expected,
    pg_get_indexdef(indexrelid) as found,
    format('reindex table %s', object) as what_to_run
from keys
where not is_sound

union all

select
    kind,
    object,
    'has an index that compares in its own way' as fault,
    'operator classes of Postgres or of an extension' as expected,
    pg_get_indexdef(indexrelid) || ': ' || names as found,
    format('drop index %s', indexrelid::regclass) as what_to_run
from ways
