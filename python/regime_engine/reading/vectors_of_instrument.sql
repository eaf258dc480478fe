-- The dates and the vectors of an instrument's windows, each as one string of bytes; no row if it has
-- none.
select
    string_agg(date_send(as_of_date), '') as as_of_dates,
    string_agg(vector, '') as vectors
from {numeric_window_embeddings}
where
    entity_type = 'INSTRUMENT'
    and entity_id = %(instrument_id)s
    and model_id = %(model_id)s
    and window_days = %(window_days)s
    and as_of_date < %(before)s
    and dimension = %(dimension)s
having count(*) > 0
