with

regions as (

    select * from {{ ref('current_regions') }}

),

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

named as (

    select distinct region from engine_rows
    where
        region is not null
        and not {{ is_voted('region') }}

),

-- An instrument that has prices is a region of its own.
unknown_names as (

    select named.region

    from named
    left join regions on named.region = regions.region
    where
        regions.region is null
        and not exists (
            select 1
            from features
            where features.instrument_id = named.region
        )

),

unknown as (

    select
        engine_rows.table_name,
        engine_rows.region,
        engine_rows.as_of_date,
        engine_rows.model_id,
        engine_rows.window_days,
        engine_rows.run_id

    from engine_rows
    inner join unknown_names on engine_rows.region = unknown_names.region

)

select * from unknown
order by table_name, region, as_of_date
