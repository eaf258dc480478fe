with

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

written as (

    select
        table_name,
        entity_or_region,
        as_of_date,
        model_id,
        window_days,

        last_trade_date,
        created_at,
        run_id

    from engine_rows
    where table_name in ('numeric_window_embeddings', 'regimes')

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
            -- East of Greenwich the next day begins earlier than in UTC.
            when written.as_of_date > (written.created_at at time zone 'UTC')::date + 1
                then 'the day had not come when the row was written'
            -- Only `regime run` writes days without trading; its parameters limit how far back it
            -- looks.
            when
                written.as_of_date - written.last_trade_date > coalesce(
                    {{ count_or_null("(runs.parameters -> 'max_staleness_days')") }},
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
