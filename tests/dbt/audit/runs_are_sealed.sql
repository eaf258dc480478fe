with

runs as (

    select * from {{ ref('regime_runs') }}

),

chained as (

    select
        run_id,
        command,
        status,
        finished_at,
        row_hash,
        seal_number,
        seal,

        row_number() over chain as place,
        lag(seal) over chain as seal_before

    from runs
    window chain as (order by seal_number)

),

judged as (

    select
        run_id,
        command,
        status,
        finished_at,
        seal_number,
        seal,

        case
            when status = 'RUNNING' and coalesce(seal, seal_number::text) is not null
                then 'a run that is under way has a seal'
            when status <> 'RUNNING' and (seal_number is null or seal is null)
                then 'the run has no seal'
            when seal_number <> place then 'the seals before it are not numbered 1, 2, 3 …'
            when seal <> {{ seal('seal_number', 'row_hash', 'seal_before') }}
                then 'the seal is not that of the run and of the seal before it'
        end as fault

    from chained

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by seal_number, run_id
