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

        window_spec ->> 'first_trade_date' as first_trade_date,
        window_spec ->> 'last_trade_date' as last_trade_date,
        window_spec -> 'rows' as window_rows,
        window_spec -> 'columns' as columns,
        case jsonb_typeof(window_spec)
            when 'object'
                then window_spec - array['first_trade_date', 'last_trade_date', 'rows', 'columns']
        end as more,
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
            entity_type = 'INSTRUMENT'
            -- As text, because a cast fails for what is no date.
            and last_trade_date collate "C" <= to_jsonb(as_of_date) #>> '{}'
            and first_trade_date collate "C" < last_trade_date
            and first_trade_date like '____-__-__'
            and window_rows = to_jsonb(window_days)
            and columns = columns_of_the_encoder
            and more = '{}'
        ) is not true

)

select * from faulty
order by entity_id, as_of_date
