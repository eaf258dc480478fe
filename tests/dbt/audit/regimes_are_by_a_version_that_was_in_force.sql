{# A model that was fitted after a regime was written is no fault of the regime:
   regimes_are_by_the_version_in_force warns until a backfill classifies it anew. A model whose run had
   ended before the run of the regime began was there to be used. #}
with

regimes as (

    select * from {{ ref('regimes') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

classified as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        model_version,
        run_id,
        false as is_revised

    from regimes
    where not metadata ? 'version_given'

    union all

    select
        old_row ->> 'region' as region,
        {{ day_or_null("(old_row -> 'as_of_date')") }} as as_of_date,
        old_row ->> 'model_id' as model_id,
        {{ count_or_null("(old_row -> 'window_days')") }} as window_days,

        {{ count_or_null("(old_row -> 'model_version')") }} as model_version,
        {{ uuid_or_null("(old_row -> 'run_id')") }} as run_id,
        true as is_revised

    from revisions
    where
        table_name = 'regimes'
        and not old_row -> 'metadata' ? 'version_given'

),

series as (

    select distinct
        region,
        model_id,
        window_days,
        run_id

    from classified

),

-- The versions that were there when a run began, and until when each is the newest.
known as materialized (

    select
        series.region,
        series.model_id,
        series.window_days,
        series.run_id,

        versions.version,
        versions.valid_from,
        lead(versions.valid_from) over (
            partition by series.region, series.model_id, series.window_days, series.run_id
            order by versions.valid_from, versions.version
        ) as next_valid_from

    from series
    inner join runs on series.run_id = runs.run_id
    inner join versions
        on
            series.region = versions.region
            and series.model_id = versions.model_id
            and series.window_days = versions.window_days
    inner join runs as fits
        on
            versions.run_id = fits.run_id
            and runs.started_at > fits.finished_at

),

overlooked as (

    select
        classified.region,
        classified.as_of_date,
        classified.model_id,
        classified.window_days,

        classified.model_version,
        known.version as version_in_force,
        known.valid_from,
        classified.is_revised,
        classified.run_id

    from classified
    inner join known
        on
            classified.region = known.region
            and classified.model_id = known.model_id
            and classified.window_days = known.window_days
            and classified.run_id = known.run_id
            and classified.as_of_date >= known.valid_from
            and classified.as_of_date < coalesce(known.next_valid_from, 'infinity')
    left join versions
        on
            classified.region = versions.region
            and classified.model_id = versions.model_id
            and classified.window_days = versions.window_days
            and classified.model_version = versions.version
    where
        -- A version that was stored while the run was under way may have been used too.
        ((known.valid_from, known.version) <= (versions.valid_from, versions.version)) is not true

)

select * from overlooked
order by region, as_of_date
