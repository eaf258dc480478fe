-- The rows that no computation can give: of no instrument, or of a day that no calendar has.
select 'numeric_window_embeddings', entity_type, entity_id, as_of_date::text, model_id, window_days
from {numeric_window_embeddings}
where
    (entity_type <> 'INSTRUMENT' or as_of_date not between %(earliest)s and %(last)s)
    and (%(instrument_ids)s::text[] is null or entity_id = any(%(instrument_ids)s))

union all

select 'regimes', null, region, as_of_date::text, model_id, window_days
from {regimes}
where
    as_of_date not between %(earliest)s and %(last)s
    and (%(regions)s::text[] is null or region = any(%(regions)s))
order by 1, 2, 3, 4
