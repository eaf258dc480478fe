with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

compared as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.instrument_id,
        regimes.model_version,
        runs.parameters ->> 'instrument_id' as instrument_of_the_model,
        versions.run_id as run_of_the_model

    from regimes
    inner join versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version
    inner join runs
        on versions.run_id = runs.run_id

),

foreign_rows as (

    select * from compared
    where instrument_id <> instrument_of_the_model

)

select * from foreign_rows
order by region, as_of_date
