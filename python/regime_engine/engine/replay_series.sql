-- The series of regimes and models, the vote after those that it counts.
select region, model_id, window_days
from (
    select region, model_id, window_days from {regimes}
    union
    select region, model_id, window_days from {regime_models}
    union
    select region, model_id, window_days from {regime_transitions}
) as named
where %(regions)s::text[] is null or region = any(%(regions)s)
order by region = %(vote)s, region, model_id, window_days
