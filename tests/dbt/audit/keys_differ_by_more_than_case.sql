with

engine_rows as not materialized (

    select * from {{ ref('engine_rows') }}

),

names as (

    select distinct
        table_name,
        entity_or_region,
        model_id,
        lower(btrim(entity_or_region)) as folded_name,
        lower(btrim(model_id)) as folded_model_id

    from engine_rows

),

-- These are few, so the rows themselves need not be sorted by their folded keys.
variants as (

    select
        table_name,
        folded_name,
        folded_model_id

    from names
    group by table_name, folded_name, folded_model_id
    having count(*) > 1

),

counted as (

    select
        engine_rows.table_name,
        engine_rows.entity_or_region,
        engine_rows.as_of_date,
        engine_rows.model_id,
        engine_rows.window_days,
        engine_rows.run_id,
        count(*) over (
            partition by
                variants.table_name,
                variants.folded_name,
                variants.folded_model_id,
                engine_rows.as_of_date,
                engine_rows.window_days
        ) as rows_with_this_key

    from variants
    inner join engine_rows
        on
            variants.table_name = engine_rows.table_name
            and variants.folded_name = lower(btrim(engine_rows.entity_or_region))
            and variants.folded_model_id = lower(btrim(engine_rows.model_id))

),

doubled as (

    select * from counted
    where rows_with_this_key > 1

)

select * from doubled
order by table_name, lower(entity_or_region), as_of_date, entity_or_region
