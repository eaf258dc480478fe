with

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

steps as (

    select
        region,
        model_id,
        window_days,

        lag(regime_label) over series as from_label,
        regime_label as to_label

    from regimes
    window series as (partition by region, model_id, window_days order by as_of_date)

),

counted as (

    select
        region,
        model_id,
        window_days,
        from_label,
        to_label,

        count(*) as transitions

    from steps
    group by region, model_id, window_days, from_label, to_label

),

labels as not materialized (

    select
        region,
        model_id,
        window_days,
        regime_label,

        count(*) / sum(count(*)) over series as observed_share,
        row_number() over (series order by regime_label) as place

    from regimes
    group by region, model_id, window_days, regime_label
    window series as (partition by region, model_id, window_days)

),

pairs as (

    select
        departures.region,
        departures.model_id,
        departures.window_days,
        departures.regime_label as from_label,
        arrivals.regime_label as to_label,
        departures.place,
        departures.observed_share::double precision as observed_share,
        coalesce(counted.transitions, 0) as transitions

    from labels as departures
    inner join labels as arrivals
        on
            departures.region = arrivals.region
            and departures.model_id = arrivals.model_id
            and departures.window_days = arrivals.window_days
    left join counted
        on
            departures.region = counted.region
            and departures.model_id = counted.model_id
            and departures.window_days = counted.window_days
            and departures.regime_label = counted.from_label
            and arrivals.regime_label = counted.to_label

),

probable as (

    select
        *,
        (sum(transitions) over departing)::double precision as departures,
        transitions / nullif(sum(transitions) over departing, 0)::double precision
            as probability

    from pairs
    window departing as (partition by region, model_id, window_days, from_label)

),

stationary as (

    select
        region,
        model_id,
        window_days,

        {{ function('stationary_shares') }}(
            array_agg(probability order by from_label, to_label)
        ) as shares

    from probable
    group by region, model_id, window_days

),

matrix as (

    select
        probable.region,
        probable.model_id,
        probable.window_days,
        probable.from_label,
        probable.to_label,

        probable.transitions::integer as transitions,
        probable.probability,

        -- 1 / (1 - the probability of staying)
        probable.departures / nullif(
            probable.departures - sum(probable.transitions) filter (
                where probable.from_label = probable.to_label
            ) over departing,
            0
        )::double precision as expected_duration,
        stationary.shares[probable.place] as stationary_share,
        probable.observed_share

    from probable
    inner join stationary
        on
            probable.region = stationary.region
            and probable.model_id = stationary.model_id
            and probable.window_days = stationary.window_days
    window departing as (
        partition by probable.region, probable.model_id, probable.window_days, probable.from_label
    )

)

select * from matrix
