-- The prices that the last regime of a series up to as_of rests on: those of its window, and those that
-- its model was trained on. A vote has a row for each voter.
with

latest as (

    select
        as_of_date,
        case
            when jsonb_typeof(metadata -> 'constituents') = 'array'
                then metadata -> 'constituents'
        end as constituents
    from {regimes}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date <= coalesce(%(as_of)s::date, 'infinity')
    order by as_of_date desc
    limit 1

),

sources as (

    select
        %(region)s::text as region,
        as_of_date
    from latest
    where constituents is null

    union all

    select
        voter.region,
        voter.as_of_date
    from latest
    cross join lateral jsonb_to_recordset(latest.constituents) as voter (region text, as_of_date date)

)

select
    %(region)s::text as region,
    %(model_id)s::text as model_id,
    %(window_days)s::integer as window_days,
    stored.instrument_id,

    (stored.metadata ->> 'first_trade_date')::date as window_from,
    (stored.metadata ->> 'last_trade_date')::date as window_to,
    models.trained_from,
    models.trained_to as training_to
from sources
inner join {regimes} as stored
    on
        sources.region = stored.region
        and sources.as_of_date = stored.as_of_date
left join {regime_models} as models
    on
        stored.region = models.region
        and stored.model_id = models.model_id
        and stored.window_days = models.window_days
        and stored.model_version = models.version
where
    stored.model_id = %(model_id)s
    and stored.window_days = %(window_days)s
order by stored.instrument_id
