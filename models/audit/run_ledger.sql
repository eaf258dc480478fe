with

runs as (

    select * from {{ ref('regime_runs') }}

),

revisions as not materialized (

    select * from {{ ref('regime_revisions') }}

),

embeddings as (

    select
        run_id,
        count(*) as embeddings
    from {{ ref('numeric_window_embeddings') }}
    group by run_id

),

regimes as (

    select
        run_id,
        count(*) as regimes,
        min(as_of_date) as first_date,
        max(as_of_date) as last_date
    from {{ ref('regimes') }}
    group by run_id

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
            when runs.status = 'RUNNING' and not {{ run_is_live('runs.run_id') }} then 'DIED'
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

        runs.rows_written,
        coalesce(embeddings.embeddings, 0)::integer as embeddings_in_force,
        coalesce(regimes.regimes, 0)::integer as regimes_in_force,
        regimes.first_date,
        regimes.last_date,
        coalesce(transitions.transitions, 0)::integer as transitions_in_force,
        coalesce(models.models, 0)::integer as models_in_force,
        coalesce(superseded.rows_replaced, 0)::integer as rows_replaced_since,
        coalesce(revised.rows_replaced, 0)::integer as rows_it_replaced

    from runs
    left join embeddings on runs.run_id = embeddings.run_id
    left join regimes on runs.run_id = regimes.run_id
    left join transitions on runs.run_id = transitions.run_id
    left join models on runs.run_id = models.run_id
    left join superseded on runs.run_id = superseded.run_id
    left join revised on runs.run_id = revised.run_id

)

select * from ledger
