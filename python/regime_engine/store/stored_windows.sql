-- What is stored of the windows of each instrument that has some.
select
    stored.entity_id,
    array_agg(stored.as_of_date),
    array_agg(
        case octet_length(stored.window_hash)
            when 16 then stored.window_hash else repeat(' ', 16)
        end
    ),
    array[bool_or({orphaned}), bool_or(stored.run_id = %(run_id)s)]
from {numeric_window_embeddings} as stored
where stored.entity_id = any(%(instrument_ids)s) and {of_the_series}
group by stored.entity_id
