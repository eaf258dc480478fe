with

regions as (

    select * from {{ ref('regions') }}

),

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

unknown as (

    select
        table_name,
        region,
        as_of_date,
        model_id,
        window_days,
        run_id

    from engine_rows
    where
        region not in (select regions.region from regions)
        and not {{ is_voted('region') }}

)

select * from unknown
order by table_name, region, as_of_date
