-- Whether what a notification (news) says is still so; null for an unusual window, which still_unusual
-- looks up. A run that failed has failed.
-- Not `case news.kind when …`: Citus writes it anew for its nodes as a comparison of a truth value.
case
    when news.kind = 'transition' then {is_stored}
    when news.kind = 'retraction' then not {is_stored}
    when news.kind = 'novelty' then null
    when news.kind = 'stale' then news.region in (select region from {current_regions})
    else true
end
