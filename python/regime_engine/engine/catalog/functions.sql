-- Functions: what they compute, how Postgres runs them, and that no other answers to their names.
with

expected as (

    select
        expected_objects.kind,
        expected_objects.object,
        expected_objects.alias,
        expected_objects.built_by,
        pg_namespace.oid as namespace,
        pg_proc.oid as function_oid,
        pg_proc.proargtypes

    from pg_temp.expected_objects
    inner join pg_proc on candidate_oid = pg_proc.oid
    left join pg_namespace on nspname = schema_name
    where kind = 'function'

),

present as (

    select
        expected.kind,
        expected.object,
        expected.built_by,
        expected.function_oid as expected_oid,
        pg_proc.oid as found_oid,
        pg_proc.proargtypes = expected.proargtypes as has_the_arguments

    from expected
    inner join pg_proc on proname = alias and pronamespace = namespace

),

described as (

    select
        pg_proc.oid,
        item,
        description

    from pg_proc
    inner join pg_language on prolang = pg_language.oid
    cross join lateral (
        values
            ('kind', prokind::text),
            ('language', lanname::text),
            ('arguments', pg_get_function_arguments(pg_proc.oid)),
            ('result', pg_get_function_result(pg_proc.oid)),
            ('volatility', provolatile::text),
            ('strictness', proisstrict::text),
            ('parallel safety', proparallel::text),
            ('security', case when prosecdef then 'definer' else 'invoker' end),
            ('leakproof', proleakproof::text),
            -- On Citus, those that read tables have a setting of its own.
            (
                'settings',
                nullif(
                    array_to_string(
                        array_remove(proconfig, 'citus.allow_nested_distributed_execution=on'), ', '
                    ),
                    ''
                )
            ),
            ('planner support', prosupport::oid::text),
            (
                'body',
                case
                    when prosqlbody is null then btrim(prosrc, E' \n\r\t')
                    else pg_get_function_sqlbody(pg_proc.oid)
                end
            )
    ) as items (item, description)

),

different as (

    select
        present.kind,
        present.object,
        present.built_by,
        expected.item,
        expected.description as expected,
        found.description as found

    from present
    inner join described as expected on expected_oid = expected.oid
    inner join described as found on found_oid = found.oid and expected.item = found.item
    where
        has_the_arguments
        and expected.description is distinct from found.description

)

select
    kind,
    object,
    'is missing' as fault,
    'function' as expected,
    '' as found,
    built_by as what_to_run
from expected
where function_oid not in (select expected_oid from present where has_the_arguments)

union all

select
    kind,
    object,
    'has another function of its name' as fault,
    '' as expected,
    found_oid::regprocedure::text as found,
    format('drop routine %s', found_oid::regprocedure) as what_to_run
from present
where not has_the_arguments

union all

select
    kind,
    object,
    'differs in its ' || item as fault,
    coalesce(expected_line, '') as expected,
    coalesce(found_line, '') as found,
    built_by as what_to_run
from different
cross join lateral (
    select
        btrim(expected_line) as expected_line,
        btrim(found_line) as found_line
    from rows from (
        regexp_split_to_table(coalesce(expected, ''), '\n'),
        regexp_split_to_table(coalesce(found, ''), '\n')
    ) with ordinality as line (expected_line, found_line, number)
    where expected_line is distinct from found_line
    order by number
    limit 1
) as first_line
