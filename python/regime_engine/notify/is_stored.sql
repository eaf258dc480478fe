-- Whether the transition of a notification (news) is stored.
exists (
    select 1
    from {regime_transitions} as stored
    where
        stored.region = news.region
        and stored.as_of_date = news.as_of_date
        and stored.model_id = news.model_id
        and stored.window_days = news.window_days
        and stored.from_regime_label = news.document ->> 'from_regime_label'
        and stored.to_regime_label = news.document ->> 'to_regime_label'
)
