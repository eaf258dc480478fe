{# A version is stored under the next free number, after those before it. A fit stores one, and a
   walk-forward fit stores several, in the order in which they become valid. #}
with

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

in_order as (

    select
        versions.*,

        coalesce(lag(versions.version) over series, 0) as version_before,
        lag(versions.created_at) over series as created_before,
        lag(versions.valid_from) over of_a_run as valid_before,
        -- A run takes over the versions of an earlier run that failed.
        runs.started_at <= versions.created_at as is_own,
        runs.parameters ? 'every_months' as is_walk_forward

    from versions
    left join runs on versions.run_id = runs.run_id
    window
        series as (
            partition by versions.region, versions.model_id, versions.window_days
            order by versions.version
        ),
        of_a_run as (
            partition by
                versions.region,
                versions.model_id,
                versions.window_days,
                versions.run_id,
                runs.started_at <= versions.created_at
            order by versions.version
        )

),

judged as (

    select
        region,
        model_id,
        window_days,
        case when version > version_before + 1 then version_before + 1 else version end as version,

        case
            when version > version_before + 1 then 'the version is missing'
            when created_at < created_before then 'it was stored before the version before it'
            when created_at > clock_timestamp() then 'it was stored in the future'
            when is_own and not is_walk_forward and valid_before is not null
                then 'its run stores one version only'
            when is_own and valid_from <= valid_before
                then 'it is valid before the version that its run stored before it'
        end as fault,
        valid_from,
        created_at,
        run_id

    from in_order

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, model_id, window_days, version
