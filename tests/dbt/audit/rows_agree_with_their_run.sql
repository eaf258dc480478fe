with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as (

    select * from {{ ref('regimes') }}

),

transitions as (

    select * from {{ ref('regime_transitions') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

written as (

    select
        'numeric_window_embeddings' as table_name,
        null as region,
        entity_id as instrument_id,
        as_of_date,
        model_id,
        window_days,

        null::integer as version,
        null::boolean as is_of_version_given,
        null as classifier,
        as_of_date as classified_date,
        created_at as begun_at,
        created_at,
        run_id

    from embeddings

    union all

    select
        'regimes' as table_name,
        region,
        instrument_id,
        as_of_date,
        model_id,
        window_days,

        model_version as version,
        metadata ? 'version_given' as is_of_version_given,
        null as classifier,
        as_of_date as classified_date,
        created_at as begun_at,
        created_at,
        run_id

    from regimes

    union all

    select
        'regime_transitions' as table_name,
        region,
        null as instrument_id,
        as_of_date,
        model_id,
        window_days,

        null as version,
        null as is_of_version_given,
        null as classifier,
        -- The row after a run's last date can become a change, or cease to be one.
        null as classified_date,
        created_at as begun_at,
        created_at,
        run_id

    from transitions

    union all

    select
        'regime_models' as table_name,
        region,
        null as instrument_id,
        valid_from as as_of_date,
        model_id,
        window_days,

        version,
        null as is_of_version_given,
        classifier,
        null as classified_date,
        -- A run takes over the version of an earlier one that failed.
        null as begun_at,
        created_at,
        run_id

    from versions

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
                and (
                    written.classified_date < (runs.parameters ->> 'start')::date
                    or written.classified_date > (runs.parameters ->> 'end')::date
                    or written.classified_date <> (runs.parameters ->> 'as_of')::date
                )
                then 'the run was of other dates'
            when
                written.is_of_version_given
                <> coalesce(written.version = (runs.parameters ->> 'model_version')::integer, false)
                then 'the run was not asked for this model version'
            when written.begun_at < runs.started_at or written.created_at > runs.finished_at
                then 'the run was not under way when the row was written'
        end as fault,
        written.created_at,
        runs.started_at,
        runs.finished_at,
        runs.command,
        runs.parameters,
        runs.run_id

    from written
    inner join runs
        on written.run_id = runs.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by table_name, region, instrument_id, as_of_date
