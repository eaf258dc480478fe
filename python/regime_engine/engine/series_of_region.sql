with

found as (

    select
        region,
        model_id,
        window_days
    from {regimes}
    where region = %(region)s

    union

    select
        region,
        model_id,
        window_days
    from {regime_models}
    where region = %(region)s

    union

    select
        key ->> 'region',
        key ->> 'model_id',
        (key ->> 'window_days')::integer
    from {regime_revisions}
    where table_name = 'regimes' and key ->> 'region' = %(region)s

)

select
    region,
    model_id,
    window_days,
    true as is_whole
from found
where
    model_id = coalesce(%(model_id)s, model_id)
    and window_days = coalesce(%(window_days)s, window_days)
order by 1, 2, 3
