-- The day of the newest regime of each region; null if it has none.
select
    asked.region,
    (
        select max(as_of_date)
        from {regimes}
        where region = asked.region
    ) as last_regime
from unnest(%(regions)s::text[]) as asked (region)
