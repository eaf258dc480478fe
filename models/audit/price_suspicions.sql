{# `regime fit` says which suspicious prices a training has. #}
{{ config(grants={'select': ['regime_auditor', 'regime_engine']}) }}

{%- set limits = var('price_suspicions') -%}

with

prices as not materialized (

    select * from {{ ref('stg_prices_daily') }}

),

steps as not materialized (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        range_fault,
        lag(trade_date) over instrument as previous_trade_date,
        lag(close) over instrument as previous_close,
        ln(close / lag(close) over instrument) as log_return,
        ln(adjusted_close / lag(adjusted_close) over instrument) as adjusted_log_return,
        row_number() over instrument as day_number

    from prices
    window instrument as (partition by instrument_id order by trade_date)

),

split_ratios as (

    select ratio::double precision
    from unnest(array[{{ limits.split_ratios | join(', ') }}]) as ratio

    union all

    select 1 / ratio::double precision
    from unnest(array[{{ limits.split_ratios | join(', ') }}]) as ratio

),

splits as (

    select
        steps.instrument_id,
        steps.previous_trade_date as first_date,
        steps.trade_date as last_date,

        'unadjusted split' as kind,
        steps.close / steps.previous_close as value,
        {{ limits.split_tolerance }} as threshold,
        format(
            'the close goes from %s to %s, %s times as much, and the adjusted close with it',
            steps.previous_close,
            steps.close,
            round((steps.close / steps.previous_close)::numeric, 4)
        ) as evidence

    from steps
    where
        abs(steps.adjusted_log_return - steps.log_return) <= {{ limits.split_tolerance }}
        and exists (
            select 1
            from split_ratios
            where abs(steps.log_return - ln(split_ratios.ratio)) <= {{ limits.split_tolerance }}
        )

),

-- A stretch is a run of days with the same close.
same_close as (

    select
        instrument_id,
        trade_date,
        close,
        sum(case when close = previous_close then 0 else 1 end) over instrument as stretch

    from steps
    window instrument as (partition by instrument_id order by trade_date)

),

stale as (

    select
        instrument_id,
        min(trade_date) as first_date,
        max(trade_date) as last_date,

        'stale close' as kind,
        count(*)::double precision as value,
        {{ limits.stale_days }} as threshold,
        format('trading days in a row with a close of %s: %s', min(close), count(*)) as evidence

    from same_close
    group by instrument_id, stretch
    having count(*) >= {{ limits.stale_days }}

),

-- Consecutive days without volume have the same difference of two numberings.
no_volume as (

    select
        instrument_id,
        trade_date,
        day_number - row_number() over instrument as stretch

    from steps
    where volume = 0
    window instrument as (partition by instrument_id order by trade_date)

),

without_volume as (

    select
        instrument_id,
        min(trade_date) as first_date,
        max(trade_date) as last_date,

        'zero volume' as kind,
        count(*)::double precision as value,
        1 as threshold,
        format('trading days in a row with a volume of 0: %s', count(*)) as evidence

    from no_volume
    group by instrument_id, stretch

),

-- Consecutive days with the same fault, as with no_volume.
faulty_ranges as (

    select
        instrument_id,
        trade_date,
        range_fault,
        day_number - row_number() over (
            partition by instrument_id, range_fault
            order by trade_date
        ) as stretch

    from steps
    where range_fault is not null

),

without_range as (

    select
        instrument_id,
        min(trade_date) as first_date,
        max(trade_date) as last_date,

        'unusable range' as kind,
        count(*)::double precision as value,
        1 as threshold,
        format(
            'trading days in a row whose open, high and low are not used, because %s: %s',
            range_fault, count(*)
        ) as evidence

    from faulty_ranges
    group by instrument_id, range_fault, stretch

),

weeks as materialized (

    {{ trading_weeks('prices') }}

),

-- How many instruments that trade on the same weekdays have a price on each day, and how many could
-- have one: those between their first and their last price.
calendar as (

    select
        weekdays,
        priced.trade_date,

        priced.instruments,
        sum(coalesce(begun.instruments, 0)) over days
        - coalesce(
            sum(coalesce(ended.instruments, 0)) over (
                days
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as alive

    from (
        select
            weeks.weekdays,
            prices.trade_date,
            count(*) as instruments
        from prices
        inner join weeks on prices.instrument_id = weeks.instrument_id
        group by weeks.weekdays, prices.trade_date
    ) as priced
    left join (
        select
            weekdays,
            first_date as trade_date,
            count(*) as instruments
        from weeks
        group by weekdays, first_date
    ) as begun using (weekdays, trade_date)
    left join (
        select
            weekdays,
            last_date as trade_date,
            count(*) as instruments
        from weeks
        group by weekdays, last_date
    ) as ended using (weekdays, trade_date)
    window days as (partition by weekdays order by priced.trade_date)

),

busy as materialized (

    select
        weekdays,
        trade_date,

        (alive - 1)::integer as others,
        instruments,
        is_busy,
        count(*) filter (where is_busy) over (partition by weekdays order by trade_date)
            as busy_days_so_far

    from (
        select
            *,
            -- For an instrument without a price, the others are one fewer than all. A stray price
            -- on another weekday makes no trading day.
            alive > 1
            and instruments >= {{ limits.calendar_share }} * (alive - 1)
            and weekdays & {{ weekday_bit('trade_date') }} > 0 as is_busy
        from calendar
    ) as days

),

missed as (

    select
        steps.instrument_id,
        steps.previous_trade_date,
        steps.trade_date,

        busy.weekdays,
        busy.busy_days_so_far - busy.is_busy::integer
        - lag(busy.busy_days_so_far) over instrument as missed_days

    from steps
    inner join weeks on steps.instrument_id = weeks.instrument_id
    inner join busy
        on weeks.weekdays = busy.weekdays and steps.trade_date = busy.trade_date
    window instrument as (partition by steps.instrument_id order by steps.trade_date)

),

gaps as (

    select
        missed.instrument_id,
        between_prices.first_date,
        between_prices.last_date,

        'calendar gap' as kind,
        missed.missed_days::double precision as value,
        1 as threshold,
        format(
            'no price on %s days on which at least %s of %s others have one that trade on the same '
            'weekdays',
            missed.missed_days, between_prices.fewest, between_prices.others
        ) as evidence

    from missed
    inner join lateral (

        select
            min(busy.trade_date) as first_date,
            max(busy.trade_date) as last_date,
            min(busy.instruments) as fewest,
            max(busy.others) as others
        from busy
        where
            busy.is_busy
            and busy.weekdays = missed.weekdays
            and busy.trade_date > missed.previous_trade_date
            and busy.trade_date < missed.trade_date

    ) as between_prices on true
    where missed.missed_days > 0

),

-- The days of an instrument go through arrays: a join of steps with its medians is done once a day
-- where Postgres has no statistics of an instrument yet, and takes minutes.
medians as (

    select
        instrument_id,
        array_agg(previous_trade_date) as previous_trade_dates,
        array_agg(trade_date) as trade_dates,
        array_agg(adjusted_log_return) as adjusted_log_returns,
        percentile_cont(0.5) within group (order by adjusted_log_return) as median_return

    from steps
    group by instrument_id

),

deviations as (

    select
        medians.*,
        spread.robust_deviation

    from medians
    cross join lateral (

        -- The factor makes it the standard deviation of normal returns.
        select
            1.4826 * percentile_cont(0.5) within group (
                order by abs(adjusted_log_return - medians.median_return)
            ) as robust_deviation
        from unnest(medians.adjusted_log_returns) as adjusted_log_return

    ) as spread

),

extreme as (

    select
        deviations.instrument_id,
        days.previous_trade_date as first_date,
        days.trade_date as last_date,

        'extreme return' as kind,
        (days.adjusted_log_return - deviations.median_return) / deviations.robust_deviation
            as value,
        {{ limits.extreme_deviations }} as threshold,
        format(
            'the adjusted log return is %s, the instrument''s median %s and robust deviation %s',
            round(days.adjusted_log_return::numeric, 4),
            round(deviations.median_return::numeric, 4),
            round(deviations.robust_deviation::numeric, 4)
        ) as evidence

    from deviations
    cross join
        lateral unnest(
            deviations.previous_trade_dates,
            deviations.trade_dates,
            deviations.adjusted_log_returns
        ) as days (previous_trade_date, trade_date, adjusted_log_return)
    where
        deviations.robust_deviation > 0
        and abs(days.adjusted_log_return - deviations.median_return)
        > {{ limits.extreme_deviations }} * deviations.robust_deviation

),

suspicions as (
    {% for kind in ['splits', 'stale', 'without_volume', 'without_range', 'gaps', 'extreme'] %}
    select
        instrument_id,
        last_date as trade_date,
        kind,
        first_date,

        value::double precision as value,
        threshold::double precision as threshold,
        evidence
    from {{ kind }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from suspicions
