with

runs as (

    select * from {{ ref('regime_runs') }}

),

written as (

    select
        'numeric_window_embeddings' as table_name,
        entity_id as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('numeric_window_embeddings') }}

    union all

    select
        'regimes' as table_name,
        region as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regimes') }}

    union all

    select
        'regime_transitions' as table_name,
        region as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_transitions') }}

    union all

    select
        'regime_models' as table_name,
        region as entity_or_region,
        valid_from as as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_models') }}

),

unfinished as (

    select
        run_id,
        status
    from runs
    where status <> 'SUCCEEDED'

)

select
    written.*,
    coalesce(unfinished.status, 'no such run') as run_status

from written
left join runs on written.run_id = runs.run_id
left join unfinished on written.run_id = unfinished.run_id
where
    runs.run_id is null
    -- Rows of a run that is under way at this moment are not at fault yet.
    or (
        unfinished.run_id is not null
        and not (unfinished.status = 'RUNNING' and {{ run_is_live('unfinished.run_id') }})
    )
order by table_name, entity_or_region, as_of_date
