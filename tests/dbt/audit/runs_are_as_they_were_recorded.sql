with

runs as (

    select * from {{ ref('regime_runs') }}

),

judged as (

    select
        run_id,
        command,
        status,
        started_at,
        finished_at,
        rows_written,
        error,

        case
            when
                coalesce(
                    row_hash <> {{ row_hash([
                        'run_id',
                        'command',
                        'parameters',
                        'model_id',
                        'status',
                        'extract(epoch from started_at)',
                        'extract(epoch from finished_at)',
                        'rows_written',
                        'rows_removed',
                        'error',
                        'failures',
                        'package_version',
                        'database_user',
                        'host',
                        'previous_run_id',
                        'contents',
                        'contents_left',
                    ]) }},
                    true
                )
                then 'the row was edited'
            when finished_at < started_at then 'it ended before it began'
            when (status = 'RUNNING') <> (finished_at is null)
                then 'its end does not go with its status'
            when (status = 'FAILED') <> (error is not null)
                then 'its error does not go with its status'
        end as fault

    from runs

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by started_at, run_id
