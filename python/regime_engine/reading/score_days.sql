-- The regimes of a series' trading days, oldest first, each with the reason why it may not be scored.
select
    regimes.as_of_date,
    regimes.instrument_id,
    regimes.regime_label,
    regimes.probabilities,
    regimes.expected_volatility,
    case
        when regimes.model_version = 0 then 'by the seed rule'
        when versions.version is null then 'by a model that is not stored'
        when
            regimes.as_of_date <= versions.trained_to
            or coalesce((regimes.metadata ->> 'in_sample')::boolean, true)
            then 'in sample'
        when regimes.as_of_date < versions.valid_from then 'by a model that was not valid yet'
    end as why_left_out
from (
    select *
    from {regimes}
    where
        {is_series}
        and {is_of_trading_day}
        and as_of_date >= coalesce(%(start)s::date, '-infinity')
        and as_of_date <= coalesce(%(end)s::date, 'infinity')
) as regimes
left join {regime_models} as versions
    on
        regimes.region = versions.region
        and regimes.model_id = versions.model_id
        and regimes.window_days = versions.window_days
        and regimes.model_version = versions.version
order by regimes.as_of_date
