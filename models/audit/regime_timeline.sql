with

-- Not materialized, so that the filter on a region reaches the key of the table.
regimes as not materialized (

    select * from {{ ref('regimes') }}

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

-- Each instrument of a series has its own market. Its days stand beside the regimes of all of them,
-- because a day that has a regime by another instrument is not missing.
observed as (

    select
        series.region,
        series.model_id,
        series.window_days,
        series.instrument_id,
        days.*

    from series
    inner join lateral (

        select
            coalesce(market.trade_date, regime.as_of_date) as as_of_date,
            market.trade_date is not null as is_trading_day,

            regime.regime_label,
            regime.confidence,
            regime.runner_up_label,
            regime.probabilities,
            regime.expected_volatility,
            regime.metadata,
            regime.model_version,

            market.close,
            market.adjusted_close,
            market.adjusted_log_return,
            market.day_return,
            market.volatility_21_days,
            market.drawdown,
            market.trading_days_a_year,

            regime.run_id

        from (

            select *
            from {{ function('market_of') }}(series.instrument_id)
            where trade_date >= series.first_date

        ) as market
        full join (

            select *
            from {{ function('regimes_of') }}(series.region, series.model_id, series.window_days)

        ) as regime on market.trade_date = regime.as_of_date
        where
            regime.instrument_id = series.instrument_id
            or (regime.as_of_date is null and series.is_current_instrument)

    ) as days on true

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
