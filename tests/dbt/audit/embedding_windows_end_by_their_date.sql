with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

spans as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        (window_spec ->> 'first_trade_date')::date as first_trade_date,
        (window_spec ->> 'last_trade_date')::date as last_trade_date,
        (window_spec ->> 'rows')::integer as window_rows,
        window_spec -> 'columns' as columns,
        case model_id
            {%- for model_id, encoder in var('encoders').items() %}
            when '{{ model_id }}' then '{{ encoder.columns | tojson }}'::jsonb
            {%- endfor %}
        end as columns_of_the_encoder

    from embeddings

),

faulty as (

    select * from spans
    where
        (
            last_trade_date <= as_of_date
            and first_trade_date < last_trade_date
            and window_rows = window_days
            and columns = columns_of_the_encoder
        ) is not true

)

select * from faulty
order by entity_id, as_of_date
