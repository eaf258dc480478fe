-- What is stored of each instrument's windows, in the order in which the instruments were asked for.
select found.*
from unnest(%(instrument_ids)s::text[]) with ordinality as asked (entity_id, ordinal)
cross join lateral (
    select
        array_agg(stored.as_of_date),
        array_agg(
            case octet_length(stored.window_hash)
                when 16 then stored.window_hash else repeat(' ', 16)
            end
        ),
        array[
            coalesce(bool_or({orphaned}), false),
            coalesce(bool_or(stored.run_id = %(run_id)s), false)
        ]
    from {numeric_window_embeddings} as stored
    where stored.entity_id = asked.entity_id and {of_the_series}
) as found
order by asked.ordinal
