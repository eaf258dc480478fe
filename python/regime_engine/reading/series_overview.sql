with

spans as (

    select
        region,
        model_id,
        window_days,

        count(*) as regimes,
        min(as_of_date) as first_date,
        max(as_of_date) as last_date
    from {regimes}
    group by region, model_id, window_days

)

select
    spans.region,
    spans.model_id,
    spans.window_days,

    spans.regimes,
    (
        select count(*)
        from {regime_transitions} as changes
        where
            changes.region = spans.region
            and changes.model_id = spans.model_id
            and changes.window_days = spans.window_days
    ) as transitions,
    spans.first_date,
    spans.last_date,
    latest.regime_label as last_label,
    latest.confidence,
    latest.expected_volatility
from spans
inner join {regimes} as latest
    on
        latest.region = spans.region
        and latest.as_of_date = spans.last_date
        and latest.model_id = spans.model_id
        and latest.window_days = spans.window_days
order by spans.region, spans.model_id, spans.window_days
