with

regimes as (

    select * from {{ ref('regimes') }}

),

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

different as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.instrument_id,
        case
            when embeddings.vector is null then 'the window has no stored embedding'
            when embeddings.vector <> regimes.regime_embedding
                then 'the regime was classified from another vector'
            else 'the regime names other dates than the window has'
        end as fault,
        regimes.run_id as regime_run_id,
        embeddings.run_id as embedding_run_id

    from regimes
    left join embeddings
        on
            embeddings.entity_type = 'INSTRUMENT'
            and embeddings.entity_id = regimes.instrument_id
            and embeddings.as_of_date = regimes.as_of_date
            and embeddings.model_id = regimes.model_id
            and embeddings.window_days = regimes.window_days
    where
        not {{ is_voted('regimes.region') }}
        and (
            regimes.regime_embedding is distinct from embeddings.vector
            or regimes.metadata ->> 'first_trade_date'
            is distinct from embeddings.window_spec ->> 'first_trade_date'
            or regimes.metadata ->> 'last_trade_date'
            is distinct from embeddings.window_spec ->> 'last_trade_date'
        )

)

select * from different
order by region, as_of_date
