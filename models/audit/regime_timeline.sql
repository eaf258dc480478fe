with

-- Not materialized, so that the filter on a region reaches the key of the table.
regimes as not materialized (

    select * from {{ ref('regimes') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

market_days as (

    select * from {{ ref('market_days') }}

),

series as (

    select
        region,
        model_id,
        window_days,
        instrument_id,

        min(min(as_of_date)) over all_instruments as first_date,
        -- The calendar of this instrument tells which days lack a regime.
        max(as_of_date) = max(max(as_of_date)) over all_instruments as is_current_instrument

    from regimes
    group by region, model_id, window_days, instrument_id
    window all_instruments as (partition by region, model_id, window_days)

),

trading_days as (

    select
        series.region,
        series.model_id,
        series.window_days,
        series.is_current_instrument,

        market.*

    from series
    inner join lateral (

        select market_days.*
        from market_days
        where market_days.instrument_id = series.instrument_id
        -- Keeps the look-up by instrument below the window functions of market_days.
        offset 0 -- noqa: AM09, PRS

    ) as market on true
    where market.trade_date >= series.first_date

),

observed as (

    select
        trading_days.region,
        trading_days.trade_date as as_of_date,
        trading_days.model_id,
        trading_days.window_days,

        trading_days.instrument_id,
        true as is_trading_day,

        regime.regime_label,
        regime.confidence,
        regime.runner_up_label,
        regime.probabilities,
        regime.expected_volatility,
        regime.metadata,
        regime.model_version,

        trading_days.close,
        trading_days.adjusted_close,
        trading_days.adjusted_log_return,
        trading_days.day_return,
        trading_days.volatility_21_days,
        trading_days.drawdown,
        trading_days.trading_days_a_year,

        regime.run_id

    from trading_days
    left join lateral (

        select regimes.*
        from regimes
        where
            regimes.region = trading_days.region
            and regimes.as_of_date = trading_days.trade_date
            and regimes.model_id = trading_days.model_id
            and regimes.window_days = trading_days.window_days
        -- Keeps the look-up by key: the planner cannot tell how many rows a window function gives.
        offset 0 -- noqa: AM09, PRS

    ) as regime on true
    where
        regime.instrument_id = trading_days.instrument_id
        or (regime.region is null and trading_days.is_current_instrument)

    union all

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.instrument_id,
        false as is_trading_day,

        regimes.regime_label,
        regimes.confidence,
        regimes.runner_up_label,
        regimes.probabilities,
        regimes.expected_volatility,
        regimes.metadata,
        regimes.model_version,

        null as close,
        null as adjusted_close,
        null as adjusted_log_return,
        null as day_return,
        null as volatility_21_days,
        null as drawdown,
        null as trading_days_a_year,

        regimes.run_id

    from regimes
    where not exists (
        select 1
        from features
        where
            features.instrument_id = regimes.instrument_id
            and features.trade_date = regimes.as_of_date
    )

),

dated as (

    select
        *,
        regime_label <> lag(regime_label) over dated_rows as is_change

    from observed
    window dated_rows as (
        partition by region, model_id, window_days, regime_label is null
        order by as_of_date
    )

),

counted as (

    select
        *,
        count(*) filter (where is_trading_day) over so_far as trading_days_so_far,
        1 + count(*) filter (where is_change) over so_far as spell_number

    from dated
    window so_far as (partition by region, model_id, window_days order by as_of_date)

),

timeline as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        instrument_id,
        is_trading_day,
        regime_label is null as is_missing,

        regime_label,
        confidence,
        runner_up_label,
        {{ number_or_null('probabilities -> runner_up_label') }} as runner_up_probability,
        {{ number_or_null("metadata -> 'distances' -> runner_up_label") }} as runner_up_distance,
        {{ number_or_null("metadata -> 'novelty'") }} as novelty,
        expected_volatility,

        spell_number::integer as spell_number,
        case
            when regime_label is not null and spell_number > 1
                then trading_days_so_far - min(trading_days_so_far) over spell
        end::integer as days_since_change,

        model_version,
        {{ truth_or_null("metadata -> 'in_sample'") }} as is_in_sample,

        close,
        adjusted_close,
        adjusted_log_return,
        day_return,
        volatility_21_days,
        drawdown,
        trading_days_a_year,

        run_id

    from counted
    window spell as (partition by region, model_id, window_days, spell_number)

)

select * from timeline
