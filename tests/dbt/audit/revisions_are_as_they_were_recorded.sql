with

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

judged as (

    select
        revisions.table_name,
        revisions.key,
        revisions.old_row ->> 'run_id' as old_run_id,
        revisions.new_run_id,
        revisions.revised_at,

        case
            when
                coalesce(
                    revisions.row_hash <> {{ row_hash([
                        'revisions.table_name',
                        'revisions.key',
                        'revisions.old_row',
                        'revisions.new_run_id',
                        'extract(epoch from revisions.revised_at)',
                    ]) }},
                    true
                )
                then 'the revision was edited'
            when not revisions.old_row @> revisions.key then 'the row has another key'
            when new_runs.run_id is null then 'no such run replaced the row'
            when old_runs.run_id is null then 'no such run wrote the row'
            when
                revisions.revised_at < new_runs.started_at
                or revisions.revised_at > new_runs.finished_at
                then 'the run was not under way when the row was replaced'
        end as fault

    from revisions
    left join runs as new_runs
        on revisions.new_run_id = new_runs.run_id
    left join runs as old_runs
        on (revisions.old_row ->> 'run_id')::uuid = old_runs.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by revised_at, table_name, key
