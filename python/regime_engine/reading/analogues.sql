-- The windows that the search found, nearest first, with their labels and what came after them.
-- The laterals look up one key each; other joins would read whole tables.
with

nearest as (

    select *
    from unnest(
        %(instrument_ids)s::text[], %(as_of_dates)s::date[],
        %(first_trade_dates)s::date[], %(last_trade_dates)s::date[],
        %(distances)s::double precision[]
    ) with ordinality as nearest (
        instrument_id, as_of_date, first_trade_date, last_trade_date, distance, rank
    )

)

select
    regime.region,
    nearest.instrument_id,
    nearest.as_of_date,
    nearest.distance,
    regime.regime_label,
    regime.confidence,
    later.close_21 / today.adjusted_close - 1 as next_21_days_return,
    later.close_63 / today.adjusted_close - 1 as next_63_days_return,
    nearest.first_trade_date,
    nearest.last_trade_date
from nearest
left join lateral (

    select
        regimes.region,
        regimes.regime_label,
        regimes.confidence
    from {regimes} as regimes
    where
        regimes.instrument_id = nearest.instrument_id
        and regimes.as_of_date = nearest.as_of_date
        and regimes.model_id = %(model_id)s
        and regimes.window_days = %(window_days)s
    order by regimes.region <> %(region)s, regimes.region
    limit 1

) as regime on true
left join {daily_features} as today
    on
        today.instrument_id = nearest.instrument_id
        and today.trade_date = nearest.last_trade_date
left join lateral (

    select
        max(adjusted_close) filter (where trading_day = 21) as close_21,
        max(adjusted_close) filter (where trading_day = 63) as close_63
    from (
        select
            adjusted_close,
            row_number() over (order by trade_date) as trading_day
        from {daily_features}
        where
            instrument_id = nearest.instrument_id
            and trade_date > nearest.last_trade_date
            and trade_date <= %(known_until)s
        order by trade_date
        limit 63
    ) as days

) as later on true
order by nearest.rank
