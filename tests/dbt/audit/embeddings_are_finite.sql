with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

not_finite as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        run_id

    from embeddings
    where {{ has_non_finite_float32('vector') }}

)

select * from not_finite
order by entity_id, as_of_date
