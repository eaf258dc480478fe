with

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

unfinished as (

    select
        run_id,
        status,
        database_user

    from runs
    where status <> 'SUCCEEDED'

),

without_a_run as (

    select
        engine_rows.table_name,
        engine_rows.entity_or_region,
        engine_rows.as_of_date,
        engine_rows.model_id,
        engine_rows.window_days,

        engine_rows.run_id,
        coalesce(unfinished.status, 'no such run') as run_status

    from engine_rows
    left join runs on engine_rows.run_id = runs.run_id
    left join unfinished on engine_rows.run_id = unfinished.run_id
    where
        runs.run_id is null
        -- The rows of a run that is under way are not at fault yet.
        or (
            unfinished.run_id is not null
            and not (unfinished.status = 'RUNNING' and {{ run_is_live('unfinished') }})
        )

)

select * from without_a_run
order by table_name, entity_or_region, as_of_date
