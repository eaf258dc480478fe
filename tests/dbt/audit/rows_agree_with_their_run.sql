with

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

judged as (

    select
        written.table_name,
        written.region,
        written.instrument_id,
        written.as_of_date,
        written.model_id,
        written.window_days,
        written.version,

        case
            -- It votes anew without what it removed, and derives transitions.
            when runs.command = 'forget'
                then
                    case
                        when
                            not coalesce({{ is_voted('written.region') }}, false)
                            and written.table_name <> 'regime_transitions'
                            then 'the run only removed rows'
                        when written.created_at not between runs.started_at and runs.finished_at
                            then 'the run was not under way when the row was written'
                    end
            when written.region <> runs.parameters ->> 'region'
                then 'the run was of another region'
            when written.instrument_id <> runs.parameters ->> 'instrument_id'
                then 'the run was of another instrument'
            when written.model_id <> runs.model_id
                then 'the run was of another model_id'
            when written.window_days <> (runs.parameters ->> 'window_days')::integer
                then 'the run was of another window length'
            when written.classifier <> runs.parameters ->> 'classifier'
                then 'the run was of another classifier'
            when
                runs.command in ('run', 'backfill')
                -- Not of transitions: the row after a run's last date can become a change of label,
                -- or stop being one.
                and written.table_name in ('numeric_window_embeddings', 'regimes')
                and (
                    written.as_of_date < (runs.parameters ->> 'start')::date
                    or written.as_of_date > (runs.parameters ->> 'end')::date
                    or written.as_of_date <> (runs.parameters ->> 'as_of')::date
                )
                then 'the run was of other dates'
            when
                written.is_of_version_given
                <> coalesce(written.version = (runs.parameters ->> 'model_version')::integer, false)
                then 'the run was not asked for this model version'
            when
                written.created_at > runs.finished_at
                -- A run takes over the model version of an earlier run that failed.
                or (written.created_at < runs.started_at and written.table_name <> 'regime_models')
                then 'the run was not under way when the row was written'
        end as fault,
        written.created_at,
        runs.started_at,
        runs.finished_at,
        runs.command,
        runs.parameters,
        runs.run_id

    from engine_rows as written
    inner join runs
        on written.run_id = runs.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by table_name, region, instrument_id, as_of_date
