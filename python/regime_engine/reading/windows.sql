select
    stored.entity_id as instrument_id,
    stored.as_of_date,
    (stored.window_spec ->> 'first_trade_date')::date as first_trade_date,
    (stored.window_spec ->> 'last_trade_date')::date as last_trade_date,
    stored.vector
from unnest(%(instrument_ids)s::text[], %(as_of_dates)s::date[]) as wanted (entity_id, as_of_date)
inner join {numeric_window_embeddings} as stored
    on
        stored.entity_type = 'INSTRUMENT'
        and stored.entity_id = wanted.entity_id
        and stored.as_of_date = wanted.as_of_date
        and stored.model_id = %(model_id)s
        and stored.window_days = %(window_days)s
