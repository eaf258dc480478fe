-- The series that have rows of the instrument. One is forgotten as a whole if a version of its model
-- was trained on the instrument, or if it has no regime of another one; otherwise the regimes of the
-- instrument alone are.
with

trained as (

    select distinct
        models.region,
        models.model_id,
        models.window_days
    from {regime_models} as models
    inner join {regime_runs} as runs using (run_id)
    where runs.parameters ->> 'instrument_id' = %(instrument_id)s

),

classified as (

    select distinct
        region,
        model_id,
        window_days
    from {regimes}
    where instrument_id = %(instrument_id)s and region <> %(vote)s

),

revised as (

    select distinct
        key ->> 'region' as region,
        key ->> 'model_id' as model_id,
        (key ->> 'window_days')::integer as window_days
    from {regime_revisions}
    where
        table_name = 'regimes'
        and old_row ->> 'instrument_id' = %(instrument_id)s
        and key ->> 'region' <> %(vote)s

),

found as (

    select * from trained
    union
    select * from classified
    union
    select * from revised

),

of_others as (

    select distinct
        found.region,
        found.model_id,
        found.window_days
    from found
    inner join {regimes} as regimes
        on
            found.region = regimes.region
            and found.model_id = regimes.model_id
            and found.window_days = regimes.window_days
    where regimes.instrument_id <> %(instrument_id)s

)

select
    region,
    model_id,
    window_days,
    (region, model_id, window_days) in (select * from trained)
    or (region, model_id, window_days) not in (select * from of_others) as is_whole
from found
where
    model_id = coalesce(%(model_id)s, model_id)
    and window_days = coalesce(%(window_days)s, window_days)
order by 1, 2, 3
