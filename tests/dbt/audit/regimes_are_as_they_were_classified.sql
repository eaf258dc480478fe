with

regimes as (

    select * from {{ ref('regimes') }}

),

hashed as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        regime_label,
        model_version,
        row_hash,
        {{ row_hash([
            'region',
            'as_of_date',
            'model_id',
            'window_days',
            'instrument_id',
            'model_version',
            'regime_label',
            'probabilities',
            'runner_up_label',
            'expected_volatility',
            "encode(sha256(regime_embedding), 'hex')",
            'metadata',
        ]) }} as row_hash_today,
        run_id

    from regimes

),

edited as (

    select * from hashed
    where row_hash is distinct from row_hash_today

)

select * from edited
order by region, as_of_date
