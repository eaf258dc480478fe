with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

invalid as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        versions.valid_from,
        versions.trained_to,
        regimes.metadata ->> 'in_sample' as in_sample,
        regimes.metadata ->> 'version_given' as version_given

    from regimes
    left join versions
        on
            versions.region = regimes.region
            and versions.model_id = regimes.model_id
            and versions.window_days = regimes.window_days
            and versions.version = regimes.model_version
    where
        regimes.model_version <> 0
        and (
            (
                versions.valid_from <= regimes.as_of_date
                or coalesce(regimes.metadata -> 'version_given' = 'true', false)
            )
            and {{ truth_or_null("regimes.metadata -> 'in_sample'") }}
            = (regimes.as_of_date <= versions.trained_to)
        ) is not true

)

select * from invalid
order by region, as_of_date
