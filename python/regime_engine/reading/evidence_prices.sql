-- The prices that a regime rests on: those of its window, and those that its model was trained on.
-- One row for each series asked for, of its last regime up to as_of; a vote has one for each voter.
with

asked as (

    select *
    from unnest(%(regions)s::text[], %(model_ids)s::text[], %(window_days)s::integer[])
        as asked (region, model_id, window_days)

),

latest as (

    select
        asked.region,
        asked.model_id,
        asked.window_days,
        stored.as_of_date,
        case
            when jsonb_typeof(stored.metadata -> 'constituents') = 'array'
                then stored.metadata -> 'constituents'
        end as constituents
    from asked
    cross join lateral (

        select
            regimes.as_of_date,
            regimes.metadata
        from {regimes} as regimes
        where
            regimes.region = asked.region
            and regimes.model_id = asked.model_id
            and regimes.window_days = asked.window_days
            and regimes.as_of_date <= coalesce(%(as_of)s::date, 'infinity')
        order by regimes.as_of_date desc
        limit 1

    ) as stored

),

sources as (

    select
        region,
        model_id,
        window_days,
        region as source_region,
        as_of_date
    from latest
    where constituents is null

    union all

    select
        latest.region,
        latest.model_id,
        latest.window_days,
        voter.region as source_region,
        voter.as_of_date
    from latest
    cross join lateral jsonb_to_recordset(latest.constituents) as voter (region text, as_of_date date)

)

select
    sources.region,
    sources.model_id,
    sources.window_days,
    stored.instrument_id,

    (stored.metadata ->> 'first_trade_date')::date as window_from,
    (stored.metadata ->> 'last_trade_date')::date as window_to,
    models.trained_from,
    models.trained_to as training_to
from sources
inner join {regimes} as stored
    on
        sources.source_region = stored.region
        and sources.as_of_date = stored.as_of_date
        and sources.model_id = stored.model_id
        and sources.window_days = stored.window_days
left join {regime_models} as models
    on
        stored.region = models.region
        and stored.model_id = models.model_id
        and stored.window_days = models.window_days
        and stored.model_version = models.version
order by sources.region, sources.model_id, sources.window_days, stored.instrument_id
