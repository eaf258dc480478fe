{# Imports are not materialized, so that a query's region reaches the keys of the tables. #}
with

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

market_days as not materialized (

    select * from {{ ref('market_days') }}

),

labelled as not materialized (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        instrument_id,
        model_version,
        regime_label,
        lag(regime_label) over series as previous_regime_label,
        confidence,
        runner_up_label,
        (probabilities ->> runner_up_label)::double precision as runner_up_probability,
        (metadata -> 'distances' ->> runner_up_label)::double precision as runner_up_distance,
        (metadata ->> 'novelty')::double precision as novelty,
        (metadata ->> 'in_sample')::boolean as is_in_sample,
        run_id

    from regimes
    window series as (partition by region, model_id, window_days order by as_of_date)

),

series as (

    select
        region,
        model_id,
        window_days,
        instrument_id,

        min(min(as_of_date)) over all_instruments as first_date,
        -- Whose calendar says which days lack a regime.
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
    cross join lateral (

        select * from market_days
        where market_days.instrument_id = series.instrument_id
        -- Keeps the look-up by instrument below the window functions of market_days.
        offset 0

    ) as market
    where market.trade_date >= series.first_date

),

dated as (

    select
        trading_days.region,
        trading_days.trade_date as as_of_date,
        trading_days.model_id,
        trading_days.window_days,

        trading_days.instrument_id,
        true as is_trading_day,

        labelled.regime_label,
        labelled.previous_regime_label,
        labelled.confidence,
        labelled.runner_up_label,
        labelled.runner_up_probability,
        labelled.runner_up_distance,
        labelled.novelty,
        labelled.model_version,
        labelled.is_in_sample,

        trading_days.close,
        trading_days.adjusted_close,
        trading_days.adjusted_log_return,
        trading_days.day_return,
        trading_days.volatility_21_days,
        trading_days.drawdown,

        labelled.run_id

    from trading_days
    left join labelled
        on
            trading_days.region = labelled.region
            and trading_days.trade_date = labelled.as_of_date
            and trading_days.model_id = labelled.model_id
            and trading_days.window_days = labelled.window_days
    where
        trading_days.instrument_id = labelled.instrument_id
        or (labelled.region is null and trading_days.is_current_instrument)

    union all

    select
        labelled.region,
        labelled.as_of_date,
        labelled.model_id,
        labelled.window_days,

        labelled.instrument_id,
        false as is_trading_day,

        labelled.regime_label,
        labelled.previous_regime_label,
        labelled.confidence,
        labelled.runner_up_label,
        labelled.runner_up_probability,
        labelled.runner_up_distance,
        labelled.novelty,
        labelled.model_version,
        labelled.is_in_sample,

        null as close,
        null as adjusted_close,
        null as adjusted_log_return,
        null as day_return,
        null as volatility_21_days,
        null as drawdown,

        labelled.run_id

    from labelled
    where not exists (
        select 1
        from {{ ref('daily_features') }} as features
        where
            features.instrument_id = labelled.instrument_id
            and features.trade_date = labelled.as_of_date
    )

),

counted as (

    select
        *,
        count(*) filter (where is_trading_day) over so_far as trading_days_so_far,
        1 + count(*) filter (where regime_label <> previous_regime_label) over so_far
            as spell_number

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
        runner_up_probability,
        runner_up_distance,
        novelty,

        spell_number::integer as spell_number,
        case
            when regime_label is not null and spell_number > 1
                then trading_days_so_far - min(trading_days_so_far) over spell
        end::integer as days_since_change,

        model_version,
        is_in_sample,

        close,
        adjusted_close,
        adjusted_log_return,
        day_return,
        volatility_21_days,
        drawdown,

        run_id

    from counted
    window spell as (partition by region, model_id, window_days, spell_number)

)

select * from timeline
