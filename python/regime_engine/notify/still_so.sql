-- Whether what a notification (news) says is still so. A run that failed has failed.
case news.kind
    when 'transition' then {is_stored}
    when 'retraction' then not {is_stored}
    when 'novelty'
        then exists (
            select 1
            from {regimes} as stored
            where
                stored.region = news.region
                and stored.as_of_date = news.as_of_date
                and stored.model_id = news.model_id
                and stored.window_days = news.window_days
                and {novelty} > {usual_novelty}
        )
    when 'stale' then news.region in (select region from {current_regions})
    else true
end
