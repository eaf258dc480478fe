{# A run that failed seals only what it replaced: the rows that it wrote may belong to a later run
   by now. A `regime forget` seals what it leaves of the runs that lost rows to it; if their rows were
   not as sealed before, the rest of them is still not. #}
with

runs as (

    select * from {{ ref('regime_runs') }}

),

run_contents as (

    select * from {{ ref('run_contents') }}

),

ended as (

    select
        run_id,
        command,
        status,
        finished_at,
        seal_number,
        contents,
        contents_left

    from runs
    where status <> 'RUNNING'

),

by_table as (

    select
        run_contents.run_id,
        run_contents.table_name,

        sum(run_contents.n_rows) as n_rows,
        {{ contents_hash('run_contents.entity_or_region', 'run_contents.sha256') }} as sha256

    from run_contents
    inner join ended on run_contents.run_id = ended.run_id
    where ended.status = 'SUCCEEDED' or run_contents.table_name = 'regime_revisions'
    group by run_contents.run_id, run_contents.table_name

),

left_by_forgets as (

    select distinct on (of_run.key)
        of_run.key as run_id,
        of_run.value -> 'contents' as contents,
        (of_run.value ->> 'is_as_sealed')::boolean as is_as_sealed

    from ended
    cross join lateral jsonb_each(ended.contents_left) as of_run
    order by of_run.key, ended.seal_number desc

),

sealed as (

    select
        ended.run_id,
        in_table.key as table_name,
        in_table.value as sha256,
        coalesce(left_by_forgets.is_as_sealed, true) as is_as_sealed

    from ended
    left join left_by_forgets on ended.run_id::text = left_by_forgets.run_id
    cross join lateral jsonb_each_text(
        coalesce(left_by_forgets.contents, ended.contents)
    ) as in_table

),

compared as (

    select
        run_id,
        table_name,

        by_table.n_rows,
        case
            when by_table.sha256 is null then 'the rows that the run sealed are gone'
            when sealed.sha256 is null then 'the run sealed no rows in this table'
            when by_table.sha256 <> sealed.sha256 then 'the rows are not those that the run sealed'
            when not sealed.is_as_sealed
                then 'before a `regime forget`, the rows were not those that the run sealed'
        end as fault,
        sealed.sha256 as sealed_sha256,
        by_table.sha256

    from sealed
    full join by_table using (run_id, table_name)

),

faulty as (

    select
        ended.seal_number,
        compared.run_id,
        ended.command,
        ended.finished_at,

        compared.table_name,
        compared.n_rows,
        compared.fault,
        compared.sealed_sha256,
        compared.sha256

    from compared
    inner join ended on compared.run_id = ended.run_id
    where compared.fault is not null

)

select * from faulty
order by seal_number, table_name
