{# The engine and `regime status` read the last priced day from here. #}
{{ config(grants={'select': ['regime_auditor', 'regime_engine']}) }}

-- No CTEs, as in prices_checked.
select
    instrument_id,
    trade_date,

    close,
    adjusted_close,
    volume,
    open,
    log_range,
    currency,
    loaded_at,

    range_fault

from {{ ref('prices_checked') }}
-- The same as `reason is null`, for which the planner would expect one row in two hundred.
where num_nulls(reason) > 0
