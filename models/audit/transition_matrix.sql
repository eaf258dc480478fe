{# All counts of a series are collected in one row and then unnested. The planner would misjudge the
   size of joins between grouped rows. #}
with

regimes as (

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
    where {{ is_of_trading_day() }}
    window series as (partition by region, model_id, window_days order by as_of_date)

),

counted as (

    select
        region,
        model_id,
        window_days,
        -- Null for the first row of the series.
        from_label,
        to_label,

        count(*) as transitions,
        sum(count(*)) over (partition by region, model_id, window_days, to_label)
        / sum(count(*)) over (partition by region, model_id, window_days) as observed_share

    from steps
    group by region, model_id, window_days, from_label, to_label

),

series as (

    select
        region,
        model_id,
        window_days,

        array_agg(distinct to_label order by to_label) as labels,
        jsonb_object_agg(to_label, observed_share) as observed_shares,
        jsonb_object_agg(jsonb_build_array(from_label, to_label)::text, transitions) as transitions

    from counted
    group by region, model_id, window_days

),

pairs as (

    select
        series.region,
        series.model_id,
        series.window_days,
        departing.label as from_label,
        arriving.label as to_label,

        departing.place,
        row_number() over (
            partition by series.region, series.model_id, series.window_days
            order by departing.label, arriving.label
        ) as cell,
        (series.observed_shares ->> departing.label)::double precision as observed_share,
        coalesce(
            (series.transitions ->> jsonb_build_array(departing.label, arriving.label)::text)
            ::integer,
            0
        ) as transitions

    from series
    cross join lateral unnest(series.labels) with ordinality as departing (label, place)
    cross join lateral unnest(series.labels) as arriving (label)

),

probable as (

    select
        *,
        sum(transitions) over departures as departures,
        sum(transitions) filter (where from_label = to_label) over departures as stays,
        transitions / nullif(sum(transitions) over departures, 0)::double precision as probability

    from pairs
    window departures as (partition by region, model_id, window_days, from_label)

),

-- Computed once per series, in its first cell.
solved as (

    select
        *,
        case
            when row_number() over cells = 1
                then {{ function('stationary_shares') }}(array_agg(probability) over all_cells)
        end as stationary_shares,
        case
            when row_number() over cells = 1
                then
                    {{ function('smoothed_probabilities') }}(
                        array_agg(transitions::double precision) over all_cells
                    )
        end as smoothed_probabilities

    from probable
    window
        cells as (partition by region, model_id, window_days order by from_label, to_label),
        all_cells as (
            cells
            rows between unbounded preceding and unbounded following
        )

),

matrix as (

    select
        region,
        model_id,
        window_days,
        from_label,
        to_label,

        transitions,
        probability,

        -- 1 / (1 - the probability of staying)
        departures / nullif(departures - stays, 0)::double precision as expected_duration,
        (first_value(stationary_shares) over cells)[place] as stationary_share,
        observed_share,
        (first_value(smoothed_probabilities) over cells)[cell] as smoothed_probability

    from solved
    window cells as (partition by region, model_id, window_days order by from_label, to_label)

)

select * from matrix
