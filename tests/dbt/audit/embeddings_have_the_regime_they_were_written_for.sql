with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as (

    select * from {{ ref('regimes') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

-- A run that classifies writes the embedding of a window and its regime together.
classified as (

    select
        runs.parameters ->> 'region' as region,
        embeddings.as_of_date,
        embeddings.model_id,
        embeddings.window_days,

        embeddings.entity_id as instrument_id,
        embeddings.created_at,
        runs.run_id

    from embeddings
    inner join runs
        on embeddings.run_id = runs.run_id
    where runs.command in ('run', 'backfill')

),

without_a_regime as (

    select classified.*

    from classified
    left join regimes
        on
            classified.region = regimes.region
            and classified.as_of_date = regimes.as_of_date
            and classified.model_id = regimes.model_id
            and classified.window_days = regimes.window_days
    where regimes.region is null

),

forgets as (

    select * from runs
    where
        command = 'forget'
        and rows_removed is not null

),

-- A regime that a later run removed has a revision, or its series was forgotten; one that was
-- deleted by hand has neither.
lost as (

    select without_a_regime.*

    from without_a_regime
    left join revisions
        on
            revisions.table_name = 'regimes'
            and revisions.key = jsonb_build_object(
                'region', without_a_regime.region,
                'as_of_date', without_a_regime.as_of_date,
                'model_id', without_a_regime.model_id,
                'window_days', without_a_regime.window_days
            )
            and without_a_regime.run_id <> revisions.new_run_id
            and without_a_regime.created_at < revisions.revised_at
    left join forgets
        on
            without_a_regime.created_at < forgets.started_at
            and forgets.parameters -> 'series' @> jsonb_build_array(
                jsonb_build_object(
                    'region', without_a_regime.region,
                    'model_id', without_a_regime.model_id,
                    'window_days', without_a_regime.window_days
                )
            )
    where
        revisions.table_name is null
        and forgets.run_id is null

)

select * from lost
order by region, as_of_date
