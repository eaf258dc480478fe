{{ config(severity='warn') }}

with

written as not materialized (

    select
        'numeric_window_embeddings' as table_name,
        entity_id as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('numeric_window_embeddings') }}

    union all

    select
        'regimes' as table_name,
        region as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regimes') }}

    union all

    select
        'regime_transitions' as table_name,
        region as entity_or_region,
        as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_transitions') }}

    union all

    select
        'regime_models' as table_name,
        region as entity_or_region,
        valid_from as as_of_date,
        model_id,
        window_days,
        run_id
    from {{ ref('regime_models') }}

),

names as (

    select distinct
        table_name,
        entity_or_region,
        model_id,
        lower(btrim(entity_or_region)) as folded_name,
        lower(btrim(model_id)) as folded_model_id

    from written

),

-- Few, so that the rows need not be sorted by their folded keys.
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
        written.*,
        count(*) over (
            partition by
                variants.table_name,
                variants.folded_name,
                variants.folded_model_id,
                written.as_of_date,
                written.window_days
        ) as rows_with_this_key

    from variants
    inner join written
        on
            variants.table_name = written.table_name
            and variants.folded_name = lower(btrim(written.entity_or_region))
            and variants.folded_model_id = lower(btrim(written.model_id))

),

doubled as (

    select * from counted
    where rows_with_this_key > 1

)

select * from doubled
order by table_name, lower(entity_or_region), as_of_date, entity_or_region
