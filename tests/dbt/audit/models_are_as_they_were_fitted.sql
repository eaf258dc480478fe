with

versions as (

    select * from {{ ref('regime_models') }}

),

hashed as (

    select
        region,
        model_id,
        window_days,
        version,

        classifier,
        trained_from,
        trained_to,
        valid_from,
        parameters_hash,
        {{ row_hash([
            'region',
            'model_id',
            'window_days',
            'version',
            'classifier',
            'labels',
            'parameters',
            'trained_from',
            'trained_to',
            'n_windows',
            'training_hash',
            'metrics',
            'valid_from',
        ]) }} as parameters_hash_today,
        run_id

    from versions

),

edited as (

    select * from hashed
    where parameters_hash is distinct from parameters_hash_today

)

select * from edited
order by region, model_id, window_days, version
