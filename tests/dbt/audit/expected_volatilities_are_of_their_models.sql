with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

told as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        versions.classifier,
        regimes.expected_volatility,
        (regimes.metadata ->> 'trading_days_a_year')::double precision as trading_days_a_year,
        case
            when regimes.model_version = 0 then false
            else versions.parameters ? 'volatility'
        end as is_told,
        regimes.run_id

    from regimes
    left join versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version
    where not {{ is_voted('regimes.region') }}

),

judged as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        model_version,
        classifier,
        expected_volatility,
        trading_days_a_year,
        case
            when is_told and expected_volatility is null
                then 'the model tells a volatility on every day'
            when not is_told and expected_volatility is not null
                then 'the model cannot tell a volatility'
            -- NaN is greater than infinity in Postgres.
            when expected_volatility <= 0 or expected_volatility >= 'infinity'
                then 'the expected volatility is not a positive number'
            when (expected_volatility is null) <> (trading_days_a_year is null)
                then 'only one of the volatility and its trading days a year is there'
            when trading_days_a_year not between 1 and 366
                then 'no year has so many trading days'
        end as fault,
        run_id

    from told
    -- Another test finds a version that is not stored.
    where is_told is not null

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date
