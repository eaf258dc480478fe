-- The rows that one table has and the other has not, as JSON.
select to_jsonb(only_here)::text
from (
    select {names} from {one}
    except all
    select {names} from {other}
) as only_here
order by 1
