-- One look into the index of the key for each instrument; `distinct` would read every row.
with recursive

embedded as (

    select min(entity_id) as entity_id
    from {numeric_window_embeddings}
    where entity_type = 'INSTRUMENT'

    union all

    select
        (
            select min(stored.entity_id)
            from {numeric_window_embeddings} as stored
            where
                stored.entity_type = 'INSTRUMENT'
                and stored.entity_id > embedded.entity_id
        )
    from embedded
    where embedded.entity_id is not null

)

select entity_id
from embedded
where entity_id is not null
