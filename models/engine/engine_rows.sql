-- No CTEs here, and each column as it is stored: only then does Postgres flatten this query and
-- read no more columns and indexes than the query around it needs.
select
    'numeric_window_embeddings' as table_name,
    entity_id as entity_or_region,
    null::text as region,
    entity_id as instrument_id,
    as_of_date,
    model_id,
    window_days,

    null::integer as version,
    null::boolean as is_of_version_given,
    null::text as classifier,
    {{ day_or_null("window_spec -> 'last_trade_date'") }} as last_trade_date,
    created_at,
    run_id

from {{ ref('numeric_window_embeddings') }}

union all

select
    'regimes' as table_name,
    region as entity_or_region,
    region,
    instrument_id,
    as_of_date,
    model_id,
    window_days,

    model_version as version,
    metadata ? 'version_given' as is_of_version_given,
    null::text as classifier,
    {{ day_or_null("metadata -> 'last_trade_date'") }} as last_trade_date,
    created_at,
    run_id

from {{ ref('regimes') }}

union all

select
    'regime_transitions' as table_name,
    region as entity_or_region,
    region,
    null::text as instrument_id,
    as_of_date,
    model_id,
    window_days,

    null::integer as version,
    null::boolean as is_of_version_given,
    null::text as classifier,
    null::date as last_trade_date,
    created_at,
    run_id

from {{ ref('regime_transitions') }}

union all

select
    'regime_models' as table_name,
    region as entity_or_region,
    region,
    null::text as instrument_id,
    valid_from as as_of_date,
    model_id,
    window_days,

    version,
    null::boolean as is_of_version_given,
    classifier,
    null::date as last_trade_date,
    created_at,
    run_id

from {{ ref('regime_models') }}
