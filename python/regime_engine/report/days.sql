-- The trading days of a series, oldest first, with the probabilities of all labels; a day without a
-- regime has none.
select
    timeline.as_of_date,
    timeline.instrument_id,
    timeline.regime_label,
    timeline.confidence,
    coalesce(regimes.probabilities, '{{}}') as probabilities,
    timeline.novelty,
    timeline.expected_volatility,
    forecasts.realised_volatility_21_days_after,
    timeline.days_since_change,
    timeline.model_version,
    timeline.is_in_sample,
    timeline.close,
    timeline.adjusted_log_return as log_return,
    timeline.drawdown,
    timeline.run_id
from {regime_timeline} as timeline
left join {regimes} as regimes using (region, as_of_date, model_id, window_days)
left join {volatility_forecasts} as forecasts using (region, as_of_date, model_id, window_days)
where {is_series}
order by as_of_date
