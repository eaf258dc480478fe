{{ config(severity='warn') }}

with

regions as (

    select * from {{ ref('regions') }}

),

written as (

    select
        'regimes' as table_name,
        region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regimes') }}

    union all

    select
        'regime_transitions' as table_name,
        region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_transitions') }}

    union all

    select
        'regime_models' as table_name,
        region,
        valid_from as as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_models') }}

),

unknown as (

    select * from written
    where
        region not in (select regions.region from regions)
        and not {{ is_voted('region') }}

)

select * from unknown
order by table_name, region, as_of_date
