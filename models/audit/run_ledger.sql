with

runs as (

    select
        *,
        {{ run_is_live('run_id') }} as is_live

    from {{ ref('regime_runs') }}

),

revisions as not materialized (

    select * from {{ ref('regime_revisions') }}

),

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as (

    select * from {{ ref('regimes') }}

),

transitions as (

    select
        run_id,
        count(*) as transitions
    from {{ ref('regime_transitions') }}
    group by run_id

),

models as (

    select
        run_id,
        count(*) as models
    from {{ ref('regime_models') }}
    group by run_id

),

revised as (

    select
        new_run_id as run_id,
        count(*) as rows_replaced
    from revisions
    group by new_run_id

),

superseded as (

    select
        (old_row ->> 'run_id')::uuid as run_id,
        count(*) as rows_replaced
    from revisions
    group by 1

),

ledger as (

    select
        runs.run_id,
        runs.command,
        runs.parameters ->> 'region' as region,
        runs.parameters ->> 'instrument_id' as instrument_id,
        runs.model_id,
        (runs.parameters ->> 'window_days')::integer as window_days,

        case
            when runs.status = 'RUNNING' and not runs.is_live then 'DIED'
            else runs.status
        end as status,
        runs.started_at,
        runs.finished_at,
        extract(epoch from runs.finished_at - runs.started_at)::double precision as seconds,
        runs.database_user,
        runs.host,
        runs.package_version,
        runs.parameters,
        runs.error,
        runs.failures,

        runs.rows_written,
        stored_embeddings.embeddings::integer as embeddings_in_force,
        stored_regimes.regimes::integer as regimes_in_force,
        stored_regimes.first_date,
        stored_regimes.last_date,
        coalesce(transitions.transitions, 0)::integer as transitions_in_force,
        coalesce(models.models, 0)::integer as models_in_force,
        coalesce(superseded.rows_replaced, 0)::integer as rows_replaced_since,
        coalesce(revised.rows_replaced, 0)::integer as rows_it_replaced

    from runs
    -- By the index on run_id: grouping would read every embedding there is.
    cross join lateral (

        select count(*) as embeddings
        from embeddings
        where embeddings.run_id = runs.run_id

    ) as stored_embeddings
    cross join lateral (

        select
            count(*) as regimes,
            min(regimes.as_of_date) as first_date,
            max(regimes.as_of_date) as last_date
        from regimes
        where regimes.run_id = runs.run_id

    ) as stored_regimes
    left join transitions on runs.run_id = transitions.run_id
    left join models on runs.run_id = models.run_id
    left join superseded on runs.run_id = superseded.run_id
    left join revised on runs.run_id = revised.run_id

)

select * from ledger
