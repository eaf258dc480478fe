with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

-- Not materialized, so that a regime is looked up by its key.
regimes as not materialized (

    select * from {{ ref('regimes') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

-- A run that classifies writes the embedding of a window and its regime together.
encoded as materialized (

    select
        runs.parameters ->> 'region' as region,
        embeddings.as_of_date,
        embeddings.model_id,
        embeddings.window_days,

        embeddings.entity_id as instrument_id,
        embeddings.window_hash,
        embeddings.window_spec,
        embeddings.created_at,
        runs.run_id,
        case
            when runs.command = 'backfill' and runs.status = 'SUCCEEDED'
                then
                    coalesce(
                        {{ day_or_null("(runs.parameters -> 'start')") }},
                        '-infinity'
                    )
        end as backfilled_from

    from embeddings
    inner join runs
        on embeddings.run_id = runs.run_id
    where runs.command in ('run', 'backfill')

),

-- The trading day before, if the same backfill was asked for it.
days_before as (

    select
        encoded.*,
        before.trade_date as day_before

    from encoded
    inner join features
        on
            encoded.instrument_id = features.instrument_id
            and encoded.as_of_date = features.trade_date
    inner join features as before
        on
            features.instrument_id = before.instrument_id
            and features.day_number - 1 = before.day_number
            and encoded.window_days <= before.day_number
    left join regimes
        on
            encoded.region = regimes.region
            and before.trade_date = regimes.as_of_date
            and encoded.model_id = regimes.model_id
            and encoded.window_days = regimes.window_days
    where
        regimes.region is null
        and before.trade_date >= encoded.backfilled_from

),

-- It was a trading day then too, since the window that it is part of is still the same.
known_days as (

    select
        days_before.region,
        days_before.day_before as as_of_date,
        days_before.model_id,
        days_before.window_days,

        days_before.instrument_id,
        days_before.created_at,
        days_before.run_id

    from days_before
    inner join features
        on
            days_before.instrument_id = features.instrument_id
            and days_before.as_of_date >= features.trade_date
            and features.trade_date
            >= {{ day_or_null("(days_before.window_spec -> 'first_trade_date')") }}
    group by
        days_before.region,
        days_before.as_of_date,
        days_before.day_before,
        days_before.model_id,
        days_before.window_days,
        days_before.instrument_id,
        days_before.created_at,
        days_before.run_id,
        days_before.window_hash
    having days_before.window_hash = lpad(to_hex(bit_xor(features.feature_hash)), 16, '0')

),

classified as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        instrument_id,
        created_at,
        run_id

    from encoded

    union all

    select * from known_days

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
