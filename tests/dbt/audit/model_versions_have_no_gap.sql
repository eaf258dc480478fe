with

versions as (

    select * from {{ ref('regime_models') }}

),

numbered as (

    select
        region,
        model_id,
        window_days,
        generate_series(1, max(version)) as version

    from versions
    group by region, model_id, window_days

),

missing as (

    select numbered.*

    from numbered
    left join versions using (region, model_id, window_days, version)
    where versions.version is null

)

select * from missing
order by region, model_id, window_days, version
