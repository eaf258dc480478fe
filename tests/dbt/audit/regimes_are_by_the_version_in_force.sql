with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

classified as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        coalesce(in_force.version, 0) as version_in_force,
        in_force.valid_from

    from regimes
    left join lateral (

        select
            versions.version,
            versions.valid_from

        from versions
        where
            versions.region = regimes.region
            and versions.model_id = regimes.model_id
            and versions.window_days = regimes.window_days
            and versions.valid_from <= regimes.as_of_date
        order by versions.valid_from desc, versions.version desc
        limit 1

    ) as in_force on true
    where not regimes.metadata ? 'version_given'

),

outdated as (

    select * from classified
    where model_version <> version_in_force

)

select * from outdated
order by region, as_of_date
