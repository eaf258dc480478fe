-- The regime of a day, its model and run, the last change of label up to the day, and the row
-- before that change.
select
    stored.instrument_id,
    stored.regime_label,
    stored.confidence,
    stored.runner_up_label,
    stored.expected_volatility,
    stored.probabilities,
    stored.metadata,
    stored.regime_embedding as embedding,
    stored.model_version,

    change.as_of_date as since,
    change.from_regime_label as changed_from,
    case
        when change.as_of_date is not null
            then (
                select count(*)
                from {daily_features}
                where
                    instrument_id = stored.instrument_id
                    and trade_date > change.as_of_date
                    and trade_date <= stored.as_of_date
            )
    end as trading_days_since,

    beginning.first_day,
    earlier.as_of_date as compared_with,
    earlier.regime_embedding as embedding_before,

    (
        select
            jsonb_build_object(
                'classifier', classifier, 'labels', labels,
                'trained_from', trained_from, 'trained_to', trained_to,
                'n_windows', n_windows, 'valid_from', valid_from,
                'parameters_hash', parameters_hash
            )
        from {regime_models}
        where {is_series} and version = stored.model_version
    ) as model,
    (
        select
            jsonb_build_object(
                'run_id', run_id, 'command', command, 'status', status,
                'started_at', started_at, 'package_version', package_version,
                'database_user', database_user, 'host', host
            )
        from {regime_runs}
        where run_id = stored.run_id
    ) as run
from {regimes} as stored
left join lateral (

    select
        as_of_date,
        previous_as_of_date,
        from_regime_label
    from {regime_transitions}
    where {is_series} and as_of_date <= %(day)s
    order by as_of_date desc
    limit 1

) as change on true
cross join lateral (

    select min(as_of_date) as first_day
    from {regimes}
    where {is_series}

) as beginning
left join {regimes} as earlier
    on
        earlier.region = stored.region
        and earlier.model_id = stored.model_id
        and earlier.window_days = stored.window_days
        and earlier.as_of_date = coalesce(change.previous_as_of_date, beginning.first_day)
where
    stored.region = %(region)s
    and stored.model_id = %(model_id)s
    and stored.window_days = %(window_days)s
    and stored.as_of_date = %(day)s
