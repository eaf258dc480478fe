{# ‖x − y‖ in double precision, as in Python; null for vectors of different lengths. #}
select
    case
        when cardinality(numbers) = cardinality(others)
            then sqrt(sum((number::double precision - other::double precision) ^ 2))
    end
from unnest(numbers, others) as pair (number, other)
