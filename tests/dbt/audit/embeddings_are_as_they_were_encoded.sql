with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

hashed as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        row_hash,
        {{ embedding_hash() }} as row_hash_today,
        run_id

    from embeddings

),

edited as (

    select * from hashed
    where row_hash is distinct from row_hash_today

)

select * from edited
order by entity_id, as_of_date
