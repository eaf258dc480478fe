{# Decodes IEEE 754 by hand (sign, eight bits of exponent, 23 bits of fraction), because Postgres
   has no cast from bytes to a number. Each product with a power of two is exact. #}
select
    array_agg(
        (
            case when is_negative then -1 else 1 end
            * case
                when bits > 2139095040 then 'NaN'
                when bits = 2139095040 then 'Infinity'
                when bits < 8388608 then bits * 2::double precision ^ -149
                else ((bits & 8388607) | 8388608) * 2::double precision ^ ((bits >> 23) - 150)
            end
        )::real
        order by number
    )
from generate_series(0, octet_length(vector) / 4 - 1) as number
cross join lateral (

    select
        get_byte(vector, 4 * number + 3) >= 128 as is_negative,
        ((get_byte(vector, 4 * number + 3) & 127) << 24)
        | (get_byte(vector, 4 * number + 2) << 16)
        | (get_byte(vector, 4 * number + 1) << 8)
        | get_byte(vector, 4 * number) as bits
    -- Keeps the planner from computing the bits again at each mention.
    offset 0

) as decoded
