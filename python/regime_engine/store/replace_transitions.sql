-- Recompute the transitions from the batch's first date to the row after its last one, and put those
-- that are new into the outbox. Returns how many transitions were written or removed.
with

-- Not materialized: the neighbours of the stretch then come from the key's index.
series as not materialized (
    select as_of_date, regime_label, confidence
    from {regimes}
    where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
),

stretch as (
    select *
    from series
    where
        as_of_date >= coalesce(
            (select max(as_of_date) from series where as_of_date < %(first)s), %(first)s
        )
        and as_of_date <= coalesce(
            (select min(as_of_date) from series where as_of_date > %(last)s), %(last)s
        )
),

steps as (
    select
        as_of_date,
        lag(as_of_date) over by_date as previous_as_of_date,
        lag(regime_label) over by_date as from_regime_label,
        regime_label as to_regime_label,
        lag(confidence) over by_date as from_confidence,
        confidence as to_confidence
    from stretch
    window by_date as (order by as_of_date)
),

expected as (
    select *
    from steps
    where as_of_date >= %(first)s and from_regime_label <> to_regime_label
),

recorded as (
    select *
    from {regime_transitions}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date >= %(first)s
        and as_of_date <= greatest(%(last)s, (select max(as_of_date) from stretch))
),

removed as (
    delete from {regime_transitions} as stored
    using recorded
    where
        stored.region = recorded.region
        and stored.model_id = recorded.model_id
        and stored.window_days = recorded.window_days
        and stored.as_of_date = recorded.as_of_date
        and not exists (
            select 1 from expected where expected.as_of_date = recorded.as_of_date
        )
    returning 1
),

written as (
    insert into {regime_transitions} (
        region, as_of_date, model_id, window_days, {content}, run_id, created_at
    )
    select
        %(region)s, expected.as_of_date, %(model_id)s, %(window_days)s,
        {expected_content}, %(run_id)s, clock_timestamp()
    from expected
    left join recorded as stored using (as_of_date)
    where
        stored.run_id is null
        or ({expected_content}) is distinct from ({stored_content})
        or {orphaned}
    on conflict (region, as_of_date, model_id, window_days) do update set {assignments}
    returning region, as_of_date, model_id, window_days, {content}
),

-- An instrument that is a region of its own is written for statistics, and nobody is told of it.
announced as (
    insert into {notifications} (
        kind, region, as_of_date, model_id, window_days, subject, document, notification_id, created_at
    )
    select *, {notification_id}, clock_timestamp()
    from (
        select
            'transition' as kind,
            region,
            as_of_date,
            model_id,
            window_days,
            from_regime_label || ' → ' || to_regime_label as subject,
            jsonb_build_object(
                'from_regime_label', from_regime_label,
                'to_regime_label', to_regime_label,
                'from_confidence', from_confidence,
                'to_confidence', to_confidence,
                'previous_as_of_date', previous_as_of_date
            ) as document
        from written
        where region = {vote} or region in (select region from {current_regions})
    ) as news
    on conflict (notification_id) do nothing
)

select (select count(*) from written) + (select count(*) from removed)
