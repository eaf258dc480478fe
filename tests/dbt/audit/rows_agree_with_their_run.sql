with

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

judged as (

    select
        engine_rows.table_name,
        engine_rows.region,
        engine_rows.instrument_id,
        engine_rows.as_of_date,
        engine_rows.model_id,
        engine_rows.window_days,
        engine_rows.version,

        case
            when engine_rows.region <> runs.parameters ->> 'region'
                then 'the run was of another region'
            when engine_rows.instrument_id <> runs.parameters ->> 'instrument_id'
                then 'the run was of another instrument'
            when engine_rows.model_id <> runs.model_id
                then 'the run was of another model_id'
            when engine_rows.window_days <> (runs.parameters ->> 'window_days')::integer
                then 'the run was of another window length'
            when engine_rows.classifier <> runs.parameters ->> 'classifier'
                then 'the run was of another classifier'
            when
                runs.command in ('run', 'backfill')
                -- Not of transitions: the row after a run's last date can become a change of label, or
                -- stop being one.
                and engine_rows.table_name in ('numeric_window_embeddings', 'regimes')
                and (
                    engine_rows.as_of_date < (runs.parameters ->> 'start')::date
                    or engine_rows.as_of_date > (runs.parameters ->> 'end')::date
                    or engine_rows.as_of_date <> (runs.parameters ->> 'as_of')::date
                )
                then 'the run was of other dates'
            when
                engine_rows.is_of_version_given
                <> coalesce(engine_rows.version = (runs.parameters ->> 'model_version')::integer, false)
                then 'the run was not asked for this model version'
            when
                engine_rows.created_at > runs.finished_at
                -- A run takes over the model version of an earlier run that failed.
                or (engine_rows.created_at < runs.started_at and engine_rows.table_name <> 'regime_models')
                then 'the run was not under way when the row was written'
        end as fault,
        engine_rows.created_at,
        runs.started_at,
        runs.finished_at,
        runs.command,
        runs.parameters,
        runs.run_id

    from engine_rows
    inner join runs
        on engine_rows.run_id = runs.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by table_name, region, instrument_id, as_of_date
