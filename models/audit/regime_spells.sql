with

timeline as (

    select * from {{ ref('regime_timeline') }}

),

-- Days without a regime after a spell's last dated row belong to no spell.
inside as (

    select
        *,
        max(as_of_date) filter (where not is_missing) over spell as end_date

    from timeline
    window spell as (partition by region, model_id, window_days, spell_number)

),

accumulated as (

    select
        *,
        -- Counts from the close before the spell's first day.
        sum(adjusted_log_return) over so_far as log_wealth

    from inside
    where as_of_date <= end_date
    window so_far as (
        partition by region, model_id, window_days, spell_number
        order by as_of_date
    )

),

fallen as (

    select
        *,
        exp(log_wealth - greatest(0, max(log_wealth) over so_far)) - 1 as drawdown_inside

    from accumulated
    window so_far as (
        partition by region, model_id, window_days, spell_number
        order by as_of_date
    )

),

spells as (

    select
        region,
        model_id,
        window_days,
        spell_number,

        max(regime_label) as regime_label,
        min(as_of_date) as start_date,
        max(as_of_date) as end_date,
        count(*) filter (where is_trading_day) as trading_days,
        count(*) filter (where is_missing) as missing_days,

        avg(confidence) as mean_confidence,
        min(confidence) as lowest_confidence,
        (array_agg(confidence order by as_of_date))[1] as entry_confidence,
        (array_agg(confidence order by as_of_date desc))[1] as exit_confidence,

        exp(sum(adjusted_log_return)) - 1 as total_return,
        stddev_samp(adjusted_log_return) * sqrt(avg(trading_days_a_year)::double precision)
            as annualised_volatility,
        min(drawdown_inside) as worst_drawdown

    from fallen
    group by region, model_id, window_days, spell_number

),

joined as (

    select
        region,
        model_id,
        window_days,
        spell_number,

        regime_label,
        start_date,
        end_date,
        trading_days::integer as trading_days,
        missing_days::integer as missing_days,
        lead(regime_label) over series is null as is_open,

        mean_confidence,
        lowest_confidence,

        total_return,
        annualised_volatility,
        worst_drawdown,

        lag(regime_label) over series as entered_from_label,
        entry_confidence,
        lead(regime_label) over series as left_to_label,
        exit_confidence

    from spells
    window series as (partition by region, model_id, window_days order by spell_number)

)

select * from joined
