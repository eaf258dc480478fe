-- What each run sealed of its rows, or what the last `regime forget` that removed some of them left.
with

left_by_forgets as (

    select distinct on (of_run.key)
        of_run.key::uuid as run_id,
        of_run.value as value

    from {regime_runs} as forgets
    cross join jsonb_each(forgets.contents_left) as of_run
    where forgets.seal_number is not null
    order by of_run.key, forgets.seal_number desc

)

select
    runs.run_id,
    case
        when left_by_forgets.run_id is null then runs.contents
        -- What was not as sealed before is not as sealed now, unless nothing was left of it.
        when
            (left_by_forgets.value ->> 'is_as_sealed')::boolean
            or left_by_forgets.value -> 'contents' = '{{}}'
            then left_by_forgets.value -> 'contents'
    end
from {regime_runs} as runs
left join left_by_forgets on left_by_forgets.run_id = runs.run_id
where runs.run_id = any(%(run_ids)s)
