with

regimes as (

    select * from {{ ref('regimes') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

series as (

    select
        region,
        model_id,
        window_days,
        instrument_id,

        min(as_of_date) as first_date,
        max(as_of_date) as last_date

    from regimes
    -- The days of a vote are checked by votes_are_of_todays_regimes.
    where not {{ is_voted('region') }}
    group by region, model_id, window_days, instrument_id

),

missing as (

    select
        series.region,
        features.trade_date as as_of_date,
        series.model_id,
        series.window_days,

        series.instrument_id

    from series
    inner join features
        on
            features.instrument_id = series.instrument_id
            and features.trade_date between series.first_date and series.last_date
    left join regimes
        on
            regimes.region = series.region
            and regimes.as_of_date = features.trade_date
            and regimes.model_id = series.model_id
            and regimes.window_days = series.window_days
    where regimes.region is null

)

select * from missing
order by region, as_of_date
