{%- set of_the_dates = 'the window has another number of trading days a year' %}
with

regimes as (

    select * from {{ ref('regimes') }}

),

fitted as (

    select * from {{ ref('regime_models') }}

),

-- Materialized, because the parameters of a version are large.
versions as materialized (

    select
        models.region,
        models.model_id,
        models.window_days,
        models.version,

        models.classifier,
        learned.volatility is not null as tells_volatility,
        {{ number_or_null('learned.scale') }} as scale,
        {{ number_or_null("learned.volatility -> 'mean'") }} as mean,
        {{ number_or_null("learned.volatility -> 'deviation'") }} as deviation,
        {{ number_or_null("learned.volatility -> 'nu'") }} as nu,
        {{ number_or_null("learned.volatility -> 'level'") }} as level

    from fitted as models
    cross join lateral jsonb_to_record({{ object_or_empty('models.parameters') }}) as learned (
        scale jsonb,
        volatility jsonb
    )

),

-- The variance of a day is at most that of the grid's outermost nodes.
bounded as (

    select
        *,
        scale * sqrt(greatest(0, level * nu / nullif(nu - 2, 0))) as root_of_the_mean_square,
        exp(greatest(-99, least(99, mean - 4 * deviation))) as lowest,
        exp(greatest(-99, least(99, mean + 4 * deviation))) as highest

    from versions

),

told as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.instrument_id,
        regimes.model_version,
        versions.classifier,
        regimes.expected_volatility,
        {{ number_or_null("regimes.metadata -> 'trading_days_a_year'") }} as trading_days_a_year,
        {{ day_or_null("regimes.metadata -> 'last_trade_date'") }} as last_trade_date,
        case
            when regimes.model_version = 0 then false
            else versions.tells_volatility
        end as is_told,
        versions.root_of_the_mean_square * versions.lowest as lowest_of_a_day,
        versions.root_of_the_mean_square * versions.highest as highest_of_a_day,
        regimes.run_id

    from regimes
    left join bounded as versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version
    where not {{ is_voted('regimes.region') }}

),

days as (

    select
        instrument_id,
        trade_date,
        day_number,
        {{ weekday_bit('trade_date') }} as weekday,
        (trade_date - '4714-11-24 BC'::date) / 7
        <> (lag(trade_date) over instrument - '4714-11-24 BC'::date) / 7 as is_in_another_week,
        trade_date - lag(trade_date, 62) over instrument as days_of_the_window

    from {{ ref('daily_features') }}
    where
        instrument_id in (
            select told.instrument_id from told
            where told.is_told
        )
    window instrument as (partition by instrument_id order by trade_date)

),

-- Of the windows of 63 days, which are all that these models read.
weeks as (

    select
        instrument_id,
        trade_date,
        day_number,
        days_of_the_window,
        count(*) filter (where is_in_another_week) over later_days as changes_of_week,
        count(*) filter (where weekday = 1) over of_the_window as mondays,
        count(*) filter (where weekday = 2) over of_the_window as tuesdays,
        count(*) filter (where weekday = 4) over of_the_window as wednesdays,
        count(*) filter (where weekday = 8) over of_the_window as thursdays,
        count(*) filter (where weekday = 16) over of_the_window as fridays,
        count(*) filter (where weekday = 32) over of_the_window as saturdays,
        count(*) filter (where weekday = 64) over of_the_window as sundays

    from days
    window
        of_the_window as (
            partition by instrument_id order by trade_date rows between 62 preceding and current row
        ),
        later_days as (
            partition by instrument_id order by trade_date rows between 61 preceding and current row
        )

),

busiest as (

    select
        *,
        changes_of_week + 1 as weeks,
        greatest(
            mondays, tuesdays, wednesdays, thursdays, fridays, saturdays, sundays
        ) as most_prices

    from weeks
    where days_of_the_window is not null

),

counted as (

    select
        *,
        (2 * mondays >= most_prices)::integer
        + (2 * tuesdays >= most_prices)::integer
        + (2 * wednesdays >= most_prices)::integer
        + (2 * thursdays >= most_prices)::integer
        + (2 * fridays >= most_prices)::integer
        + (2 * saturdays >= most_prices)::integer
        + (2 * sundays >= most_prices)::integer as weekdays

    from busiest
    -- Counts them once per window, not once per comparison.
    offset 0 -- noqa: AM09, PRS

),

-- As in regime_engine.trading_days.
calendars as (

    select
        instrument_id,
        trade_date,
        day_number,
        case
            when weeks >= 8 and 63 < 2 * weeks
                then greatest(1, floor(62 / (days_of_the_window / 365.25) + 0.5))
            when weekdays = 7 then 365
            when weekdays = 6 then 302
            when weekdays < 5 and weeks >= 8 then floor(52.18 * weekdays + 0.5)
            else 252
        end as trading_days_a_year

    from counted

),

judged as (

    select
        told.region,
        told.as_of_date,
        told.model_id,
        told.window_days,

        told.instrument_id,
        told.model_version,
        told.classifier,
        told.expected_volatility,
        told.trading_days_a_year,
        calendars.trading_days_a_year as trading_days_a_year_of_the_window,
        calendars.day_number,
        case
            when told.is_told and told.expected_volatility is null
                then 'the model tells a volatility on every day'
            when not told.is_told and told.expected_volatility is not null
                then 'the model cannot tell a volatility'
            -- NaN is greater than infinity in Postgres.
            when told.expected_volatility <= 0 or told.expected_volatility >= 'infinity'
                then 'the expected volatility is not a positive number'
            when (told.expected_volatility is null) <> (told.trading_days_a_year is null)
                then 'only one of the volatility and its trading days a year is there'
            when told.trading_days_a_year not between 1 and 366
                then 'no year has so many trading days'
            when
                (
                    told.expected_volatility / sqrt(told.trading_days_a_year)
                    between 0.999 * told.lowest_of_a_day and 1.001 * told.highest_of_a_day
                ) is not true
                and told.is_told
                then 'the model knows no such volatility'
            when told.trading_days_a_year <> calendars.trading_days_a_year
                then '{{ of_the_dates }}'
        end as fault,
        told.run_id

    from told
    left join calendars
        on
            told.instrument_id = calendars.instrument_id
            and told.last_trade_date = calendars.trade_date
    -- Another test finds a version that is not stored.
    where told.is_told is not null

),

faulty as materialized (

    select * from judged
    where fault is not null

),

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

running as (

    {{ running_hashes(ref('daily_features')) }}

),

-- If the features changed since, the window may have had other dates.
proven as (

    select faulty.*

    from faulty
    left join embeddings
        on
            embeddings.entity_type = 'INSTRUMENT'
            and faulty.instrument_id = embeddings.entity_id
            and faulty.as_of_date = embeddings.as_of_date
            and faulty.model_id = embeddings.model_id
            and faulty.window_days = embeddings.window_days
    left join running as until_last
        on
            faulty.instrument_id = until_last.instrument_id
            and faulty.day_number = until_last.day_number
    left join running as until_first
        on
            faulty.instrument_id = until_first.instrument_id
            and faulty.day_number - faulty.window_days = until_first.day_number
    where
        faulty.fault <> '{{ of_the_dates }}'
        or embeddings.window_hash = {{ window_hash_between('until_first', 'until_last') }}

)

select * from proven
order by region, as_of_date
