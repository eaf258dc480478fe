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

        vector_hash,
        encode(sha256(vector), 'hex') as vector_hash_today,
        run_id

    from embeddings

),

edited as (

    select * from hashed
    where vector_hash is distinct from vector_hash_today

)

select * from edited
order by entity_id, as_of_date
