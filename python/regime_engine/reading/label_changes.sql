-- What became of the last label of a series: another label on that day, transitions after it, or a
-- first regime where there was none.
with

-- The newest label up to that day, which may be gone with its price. If the series had no label, it is
-- the newest one of all.
newest as (

    select
        as_of_date,
        regime_label
    from {regimes}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date <= coalesce(%(as_of_date)s::date, 'infinity')
    order by as_of_date desc
    limit 1

),

every_change as (

    select
        as_of_date,
        %(regime_label)s::text as from_label,
        regime_label as to_label,
        %(as_of_date)s::date is not null as is_revision
    from newest
    where regime_label is distinct from %(regime_label)s::text

    union all

    select
        as_of_date,
        from_regime_label as from_label,
        to_regime_label as to_label,
        false as is_revision
    from {regime_transitions}
    where
        region = %(region)s
        and model_id = %(model_id)s
        and window_days = %(window_days)s
        and as_of_date > %(as_of_date)s::date

)

select
    %(region)s::text as region,
    as_of_date,
    from_label,
    to_label,
    is_revision
from every_change
order by as_of_date, is_revision desc
