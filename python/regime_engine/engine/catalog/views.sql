-- The definitions of views, and the first line in which they differ.
with

views as (

    select
        kind,
        object,
        built_by,
        pg_get_viewdef(candidate_oid) as expected,
        pg_get_viewdef(oid) as found

    from pg_temp.expected_objects
    inner join pg_class using (oid)
    where
        kind = 'view'
        and candidate_oid is not null
        and relkind = 'v'

),

different as (

    select * from views
    where expected <> found

),

lines as (

    select
        different.*,
        expected_line,
        found_line,
        row_number() over (partition by object order by number) as place

    from different
    cross join lateral rows from (
        regexp_split_to_table(expected, '\n'),
        regexp_split_to_table(found, '\n')
    ) with ordinality as line (expected_line, found_line, number)
    where expected_line is distinct from found_line

)

select
    kind,
    object,
    'has another definition' as fault,
    coalesce(btrim(expected_line), '') as expected,
    coalesce(btrim(found_line), '') as found,
    built_by as what_to_run
from lines
where place = 1
