-- Whether what a notification (news) says is still so. A run that failed has failed.
-- Not `case news.kind when …`: Citus writes it anew for its nodes as a comparison of a truth value.
case
    when news.kind = 'transition' then {is_stored}
    when news.kind = 'retraction' then not {is_stored}
    when news.kind = 'novelty'
        then exists (
            select 1
            from {regimes_of}(news.region, news.model_id, news.window_days) as stored
            where stored.as_of_date = news.as_of_date and {novelty} > {usual_novelty}
        )
    when news.kind = 'stale' then news.region in (select region from {current_regions})
    else true
end
