-- What became of the last label of each series: another label on that day, transitions after it, or a
-- first regime where there was none.
with

asked as (

    select *
    from unnest(%s::text[], %s::text[], %s::integer[], %s::date[], %s::text[])
        with ordinality
        as asked (region, model_id, window_days, as_of_date, regime_label, place)

),

-- The newest label up to that day, which may be gone with its price. If the series had no label, it is
-- the newest one of all.
newest as (

    select
        asked.place,
        asked.region,
        stored.as_of_date,
        asked.regime_label as from_label,
        stored.regime_label as to_label,
        asked.as_of_date is not null as is_revision
    from asked
    cross join lateral (

        select
            regimes.as_of_date,
            regimes.regime_label
        from {regimes} as regimes
        where
            regimes.region = asked.region
            and regimes.model_id = asked.model_id
            and regimes.window_days = asked.window_days
            and regimes.as_of_date <= coalesce(asked.as_of_date, 'infinity')
        order by regimes.as_of_date desc
        limit 1

    ) as stored

),

changed as (

    select
        asked.place,
        asked.region,
        transitions.as_of_date,
        transitions.from_regime_label as from_label,
        transitions.to_regime_label as to_label,
        false as is_revision
    from asked
    inner join {regime_transitions} as transitions
        on
            transitions.region = asked.region
            and transitions.model_id = asked.model_id
            and transitions.window_days = asked.window_days
            and transitions.as_of_date > asked.as_of_date

),

every_change as (

    select * from newest
    where to_label is distinct from from_label
    union all
    select * from changed

)

select
    region,
    as_of_date,
    from_label,
    to_label,
    is_revision
from every_change
order by place, as_of_date, is_revision desc
