-- Whether the window of a regime is more unusual than almost all training windows.
select exists (
    select 1
    from {regimes} as stored
    where
        stored.region = %(region)s
        and stored.as_of_date = %(as_of_date)s
        and stored.model_id = %(model_id)s
        and stored.window_days = %(window_days)s
        and {novelty} > {usual_novelty}
)
