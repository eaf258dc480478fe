-- The windows that are stored or that regimes were classified from: instrument, encoder, window
-- length, and the number of rows.
select instrument_id, model_id, window_days, sum(n)::integer
from (
    select entity_id as instrument_id, model_id, window_days, count(*) as n
    from {numeric_window_embeddings}
    where
        entity_type = 'INSTRUMENT'
        and as_of_date between %(first)s and %(last)s
        and (%(instrument_ids)s::text[] is null or entity_id = any(%(instrument_ids)s))
    group by entity_id, model_id, window_days

    union all

    select instrument_id, model_id, window_days, count(*) as n
    from {regimes}
    where
        region <> %(vote)s
        and as_of_date between %(first)s and %(last)s
        and (%(regions)s::text[] is null or region = any(%(regions)s))
    group by instrument_id, model_id, window_days
) as counted
group by instrument_id, model_id, window_days
order by instrument_id, model_id, window_days
