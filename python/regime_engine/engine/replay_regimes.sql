select
    as_of_date, region, instrument_id, model_version, regime_label, confidence,
    probabilities::text, runner_up_label, expected_volatility, regime_embedding, metadata::text,
    row_hash, run_id, metadata ? 'version_given', metadata ->> 'trading_days_a_year'
from {regimes}
where
    (region = %(region)s or (%(region)s::text is null and region <> %(vote)s))
    and (%(regions)s::text[] is null or region = any(%(regions)s))
    and (%(instrument_id)s::text is null or instrument_id = %(instrument_id)s)
    and model_id = %(model_id)s
    and window_days = %(window_days)s
    and as_of_date between %(first)s and %(last)s
order by region, as_of_date
