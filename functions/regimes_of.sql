{# In plpgsql, as market_of: so Citus asks the node that has the series. #}
{% set regimes = ref('regimes').include(database=false).render() %}
begin
    return query
    select
        stored.as_of_date,
        stored.instrument_id,
        stored.model_version,
        stored.regime_label,
        stored.confidence,
        stored.probabilities,
        stored.runner_up_label,
        stored.expected_volatility,
        stored.metadata,
        stored.run_id
    from {{ regimes }} as stored
    where
        stored.region = of_region
        and stored.model_id = of_model_id
        and stored.window_days = of_window_days;
end
