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

)

select
    found.region,
    found.model_id,
    found.window_days,
    (found.region, found.model_id, found.window_days) in (select * from trained)
    or not exists (
        select 1
        from {regimes} as others
        where
            others.region = found.region
            and others.model_id = found.model_id
            and others.window_days = found.window_days
            and others.instrument_id <> %(instrument_id)s
    ) as is_whole
from found
where
    found.model_id = coalesce(%(model_id)s, found.model_id)
    and found.window_days = coalesce(%(window_days)s, found.window_days)
order by 1, 2, 3
