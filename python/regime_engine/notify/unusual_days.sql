-- The trading days since a date whose window is more unusual than almost all training windows.
select
    stored.region,
    stored.as_of_date,
    stored.model_id,
    stored.window_days,
    jsonb_build_object('novelty', {novelty}, 'regime_label', stored.regime_label) as document
from (select region from {current_regions}) as regions
inner join {regimes} as stored using (region)
where
    stored.as_of_date >= %(since)s
    and {novelty} > {usual_novelty}
    and {is_of_trading_day}
