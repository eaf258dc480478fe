select sqrt(sum(number::double precision ^ 2))
from unnest(numbers) as number
