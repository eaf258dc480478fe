with

recorded as (

    select * from {{ ref('regime_runs') }}

),

revisions as not materialized (

    select * from {{ ref('regime_revisions') }}

),

transitions as (

    select * from {{ ref('regime_transitions') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select
        *,
        {{ run_is_live('recorded') }} as is_live

    from recorded

),

transitions_by_run as (

    select
        run_id,
        count(*) as transitions

    from transitions
    group by run_id

),

versions_by_run as (

    select
        run_id,
        count(*) as versions

    from versions
    group by run_id

),

replacements as not materialized (

    select
        (old_row ->> 'run_id')::uuid as old_run_id,
        new_run_id

    from revisions

),

replaced_by_run as (

    select
        new_run_id as run_id,
        count(*) as rows_replaced

    from replacements
    group by new_run_id

),

lost_by_run as (

    select
        old_run_id as run_id,
        count(*) as rows_replaced

    from replacements
    group by old_run_id

),

forgotten as (

    select
        recorded.run_id,
        of_run.key as old_run_id,
        of_run.value::bigint as n_rows

    from recorded
    cross join lateral jsonb_each(recorded.rows_removed) as removed
    cross join lateral jsonb_each_text(removed.value) as of_run

),

removed_by_run as (

    select
        run_id,
        sum(n_rows) as rows_removed

    from forgotten
    group by run_id

),

forgotten_by_run as (

    select
        old_run_id,
        sum(n_rows) as rows_forgotten

    from forgotten
    group by old_run_id

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
        {{ function('embeddings_of_run') }}(runs.run_id) as embeddings_in_force,
        stored_regimes.regimes as regimes_in_force,
        stored_regimes.first_date,
        stored_regimes.last_date,
        coalesce(transitions_by_run.transitions, 0)::integer as transitions_in_force,
        coalesce(versions_by_run.versions, 0)::integer as models_in_force,
        coalesce(lost_by_run.rows_replaced, 0)::integer as rows_replaced_since,
        coalesce(forgotten_by_run.rows_forgotten, 0)::integer as rows_forgotten_since,
        coalesce(replaced_by_run.rows_replaced, 0)::integer as rows_it_replaced,
        coalesce(removed_by_run.rows_removed, 0)::integer as rows_it_removed,

        runs.seal_number,
        runs.seal

    from runs
    inner join lateral (

        select * from {{ function('regimes_of_run') }}(runs.run_id)

    ) as stored_regimes on true
    left join transitions_by_run on runs.run_id = transitions_by_run.run_id
    left join versions_by_run on runs.run_id = versions_by_run.run_id
    left join lost_by_run on runs.run_id = lost_by_run.run_id
    left join replaced_by_run on runs.run_id = replaced_by_run.run_id
    left join removed_by_run on runs.run_id = removed_by_run.run_id
    left join forgotten_by_run on runs.run_id::text = forgotten_by_run.old_run_id

)

select * from ledger
