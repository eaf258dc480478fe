-- How many rows are removed of each run that had written them. A version of a model that a run took
-- over from a failed one is not among the rows that the run counted; it is older than the run.
with

removed as (

    delete from {table} as stored
    where {condition}
    returning {run_id} as run_id, {created_at} as created_at

)

select
    coalesce(runs.run_id::text, 'taken over'),
    count(*)
from removed
left join {regime_runs} as runs
    on
        runs.run_id = removed.run_id
        and runs.started_at <= removed.created_at
group by 1
