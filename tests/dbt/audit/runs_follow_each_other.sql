{# A run names the last run that began before it, while no other run can begin. So the runs are one
   chain in the order in which they began. #}
with

runs as (

    select * from {{ ref('regime_runs') }}

),

in_order as (

    select
        *,
        lag(run_id) over (order by started_at, run_id) as last_run_before

    from runs

),

judged as (

    select
        in_order.run_id,
        in_order.command,
        in_order.status,
        in_order.started_at,
        in_order.finished_at,
        in_order.previous_run_id,
        in_order.last_run_before,

        case
            when in_order.started_at > clock_timestamp() then 'it begins in the future'
            when in_order.finished_at > clock_timestamp() then 'it ends in the future'
            when in_order.previous_run_id is null and in_order.last_run_before is not null
                then 'it names no run before it, and there is one'
            when in_order.previous_run_id is not null and named.run_id is null
                then 'the run before it is gone'
            when named.started_at >= in_order.started_at
                then 'the run before it began later'
            when in_order.previous_run_id <> in_order.last_run_before
                then 'another run began between it and the run before it'
        end as fault

    from in_order
    left join runs as named
        on in_order.previous_run_id = named.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by started_at, run_id
