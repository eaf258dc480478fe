with

trainings as (

    select * from {{ ref('model_trainings') }}

),

-- If several versions have the same first valid day, the last one is in use.
in_use as (

    select distinct on (region, model_id, window_days, valid_from) *
    from trainings
    order by region, model_id, window_days, valid_from, version desc

),

restated as (

    select
        region,
        model_id,
        window_days,
        version,

        instrument_id,
        trained_from,
        trained_to,
        n_windows,
        n_windows_today,
        training_hash,
        training_hash_today

    from in_use
    where
        (n_windows, training_hash) is distinct from (n_windows_today, training_hash_today)

)

select * from restated
order by region, model_id, window_days, version
