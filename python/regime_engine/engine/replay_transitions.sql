-- Each regime from the last one before the first day on, with the transition that is stored for it.
select
    as_of_date,
    regimes.regime_label,
    regimes.confidence,
    stored.previous_as_of_date::text,
    stored.from_regime_label,
    stored.to_regime_label,
    stored.from_confidence,
    stored.to_confidence
from (
    select as_of_date, regime_label, confidence
    from {regimes}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date <= %(last)s
        and as_of_date >= coalesce(
            (
                select max(as_of_date)
                from {regimes}
                where
                    region = %(region)s
                    and model_id = %(model_id)s
                    and window_days = %(window_days)s
                    and as_of_date < %(first)s
            ),
            %(first)s
        )
) as regimes
full join (
    select *
    from {regime_transitions}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date between %(first)s and %(last)s
) as stored using (as_of_date)
order by as_of_date
