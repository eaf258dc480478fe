with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

measured as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        octet_length(vector) as bytes,
        dimension,
        case model_id
            {%- for model_id, encoder in var('encoders').items() %}
            when '{{ model_id }}' then {{ encoder.dimension }}
            {%- endfor %}
        end as expected_dimension

    from embeddings

),

mismatched as (

    select * from measured
    where
        expected_dimension is null
        or dimension <> expected_dimension
        or bytes <> 4 * expected_dimension

)

select * from mismatched
order by entity_id, as_of_date
