select
    as_of_date, window_spec::text, vector, dimension::text, window_hash, row_hash, run_id,
    window_spec ->> 'first_trade_date', window_spec ->> 'last_trade_date'
from {numeric_window_embeddings}
where
    entity_type = 'INSTRUMENT'
    and entity_id = %(instrument_id)s
    and model_id = %(model_id)s
    and window_days = %(window_days)s
    and as_of_date between %(first)s and %(last)s
order by as_of_date
