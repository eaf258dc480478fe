with

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

regions as (

    select * from {{ ref('current_regions') }}

),

weighted as (

    select
        region,
        coalesce(weight, 1) as weight

    from regions

),

voted as (

    select * from regimes
    where {{ is_voted('region') }}

),

series as (

    select distinct
        region,
        model_id,
        window_days

    from voted

),

-- The regimes of trading days, with the last day on which each may count.
voters as materialized (

    select
        series.region as voted_region,
        regimes.*,
        weighted.weight,
        least(
            regimes.as_of_date + 7,
            lead(regimes.as_of_date) over (
                partition by regimes.region, regimes.model_id, regimes.window_days
                order by regimes.as_of_date
            ) - 1
        ) as last_date

    from series
    inner join regimes
        on
            series.model_id = regimes.model_id
            and series.window_days = regimes.window_days
    inner join weighted
        on
            regimes.region = weighted.region
            and weighted.weight > 0
    where regimes.metadata -> 'last_trade_date' = to_jsonb(regimes.as_of_date)

),

days as (

    select distinct
        voted_region as region,
        as_of_date,
        model_id,
        window_days

    from voters

),

shares as (

    select
        days.region,
        days.as_of_date,
        days.model_id,
        days.window_days,

        voters.region as constituent,
        voters.weight,
        voters.as_of_date as constituent_date,
        voters.regime_label,
        voters.expected_volatility,
        voters.run_id,
        {{ object_or_empty('voters.probabilities') }} as probabilities

    from days
    inner join voters
        on
            days.model_id = voters.model_id
            and days.window_days = voters.window_days
            and days.as_of_date between voters.as_of_date and voters.last_date

),

lineage as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        jsonb_agg(
            jsonb_build_object(
                'region', constituent,
                'weight', weight,
                'as_of_date', constituent_date,
                'regime_label', regime_label,
                'expected_volatility', expected_volatility,
                'run_id', run_id
            )
            order by constituent collate "C"
        ) as constituents,
        sum(weight) as weights

    from shares
    group by region, as_of_date, model_id, window_days

),

means as (

    select
        shares.region,
        shares.as_of_date,
        shares.model_id,
        shares.window_days,

        probability.key as label,
        sum(shares.weight * {{ number_or_null('probability.value') }}) as total

    from shares
    cross join lateral jsonb_each(shares.probabilities) as probability
    group by shares.region, shares.as_of_date, shares.model_id, shares.window_days, probability.key

),

recounted as (

    select
        lineage.region,
        lineage.as_of_date,
        lineage.model_id,
        lineage.window_days,

        lineage.constituents,
        jsonb_object_agg(means.label, means.total / lineage.weights) as probabilities

    from lineage
    inner join means
        on
            lineage.region = means.region
            and lineage.as_of_date = means.as_of_date
            and lineage.model_id = means.model_id
            and lineage.window_days = means.window_days
    group by
        lineage.region,
        lineage.as_of_date,
        lineage.model_id,
        lineage.window_days,
        lineage.constituents

),

compared as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        case
            when voted.region is null then 'the day has no vote'
            when recounted.region is null then 'no region has a regime of this day'
            when voted.metadata -> 'constituents' <> recounted.constituents
                then 'the regimes that were voted on are others today'
            -- The vote was on probabilities rounded to float32.
            when exists (
                select 1
                from jsonb_each_text(recounted.probabilities) as today
                where
                    abs(
                        today.value::double precision
                        - coalesce({{ number_or_null('voted.probabilities -> today.key') }}, 9)
                    ) > 1e-6
            ) then 'the probabilities are not the weighted mean of the regions'
        end as fault,
        voted.metadata -> 'constituents' as constituents,
        recounted.constituents as constituents_today,
        voted.run_id

    from voted
    full join recounted using (region, as_of_date, model_id, window_days)

),

outdated as (

    select * from compared
    where fault is not null

)

select * from outdated
order by region, as_of_date
