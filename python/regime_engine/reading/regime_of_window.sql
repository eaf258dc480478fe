-- The regime that was classified from a window: that of the asked region, else of the first by name.
select
    region,
    regime_label,
    confidence
from {regimes}
where
    instrument_id = %(instrument_id)s
    and as_of_date = %(as_of_date)s
    and model_id = %(model_id)s
    and window_days = %(window_days)s
order by region <> %(region)s, region
limit 1
