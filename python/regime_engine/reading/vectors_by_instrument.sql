-- One row an instrument: the dates and the vectors of its windows, each as one string of bytes.
select
    wanted.number::integer,
    entity.as_of_dates,
    entity.vectors
from unnest(%(instrument_ids)s::text[]) with ordinality as wanted (entity_id, number)
cross join lateral (

    select
        string_agg(date_send(stored.as_of_date), '') as as_of_dates,
        string_agg(stored.vector, '') as vectors
    from {numeric_window_embeddings} as stored
    where
        stored.entity_type = 'INSTRUMENT'
        and stored.entity_id = wanted.entity_id
        and stored.model_id = %(model_id)s
        and stored.window_days = %(window_days)s
        and stored.as_of_date < %(before)s
        and stored.dimension = %(dimension)s

) as entity
where entity.vectors is not null
