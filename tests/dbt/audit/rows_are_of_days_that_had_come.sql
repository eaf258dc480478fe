with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as (

    select * from {{ ref('regimes') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

written as (

    select
        'numeric_window_embeddings' as table_name,
        entity_id as entity_or_region,
        as_of_date,
        model_id,
        window_days,

        (window_spec ->> 'last_trade_date')::date as last_trade_date,
        created_at,
        run_id

    from embeddings

    union all

    select
        'regimes' as table_name,
        region as entity_or_region,
        as_of_date,
        model_id,
        window_days,

        (metadata ->> 'last_trade_date')::date as last_trade_date,
        created_at,
        run_id

    from regimes

    union all

    select
        'daily_features' as table_name,
        instrument_id as entity_or_region,
        trade_date as as_of_date,
        null as model_id,
        null as window_days,

        trade_date as last_trade_date,
        now() as created_at,
        null as run_id

    from features

),

judged as (

    select
        written.table_name,
        written.entity_or_region,
        written.as_of_date,
        written.model_id,
        written.window_days,

        case
            -- It is tomorrow in the east before it is in UTC.
            when written.as_of_date > (written.created_at at time zone 'UTC')::date + 1
                then 'the day had not come when the row was written'
            -- Only `regime run` looks at days without trading, and says how far back it may look.
            when
                written.as_of_date - written.last_trade_date > coalesce(
                    (runs.parameters ->> 'max_staleness_days')::integer,
                    case when runs.command = 'backfill' then 0 else 7 end
                )
                then 'the last price of the window is too old for the day'
        end as fault,
        written.last_trade_date,
        written.created_at,
        written.run_id

    from written
    left join runs
        on written.run_id = runs.run_id

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by table_name, entity_or_region, as_of_date
