-- The series of regimes and models, the vote after those that it counts, with the number of models.
select region, model_id, window_days, sum(models)::integer
from (
    select distinct region, model_id, window_days, 0 as models from {regimes}
    union all
    select distinct region, model_id, window_days, 0 as models from {regime_transitions}
    union all
    select region, model_id, window_days, 1 as models
    from {regime_models}
    where valid_from between %(first)s and %(last)s
) as named
where %(regions)s::text[] is null or region = any(%(regions)s)
group by region, model_id, window_days
order by region = %(vote)s, region, model_id, window_days
