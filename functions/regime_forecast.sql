{# In plpgsql, as market_of: so Citus asks the node that has the series.

   The names are without the database, because Postgres stores the body as text and a copy of the
   database has another name. They are rendered, because `dbt build --empty` would otherwise store
   an empty selection in their place for good. #}
{% set regimes = ref('regimes').include(database=false).render() %}
{% set regime_labels = ref('regime_labels').include(database=false).render() %}
{% set smoothed_probabilities = function('smoothed_probabilities').include(database=false) %}
{% set confined_probabilities = function('confined_probabilities').include(database=false) %}
#variable_conflict use_column
begin
return query
with

regimes as (

    select
        as_of_date,
        regime_label,
        probabilities,
        lag(regime_label) over (order by as_of_date) as previous_label

    from {{ regimes }}
    where
        region = of_region
        and model_id = of_model_id
        and window_days = of_window_days
        and as_of_date <= up_to
        and {{ is_of_trading_day() }}

),

today as (

    select
        as_of_date,
        regime_label,
        probabilities

    from regimes
    order by as_of_date desc
    limit 1

),

known as (

    select
        seen.label,
        row_number() over (order by severities.severity, seen.label)::integer as place,
        seen.days / (sum(seen.days) over ())::double precision as observed_share

    from (

        select
            label,
            sum(days) as days
        from (

            select
                regime_label as label,
                count(*) as days
            from regimes
            group by regime_label

            union all

            -- The labels that the model can give, whether the series has had them or not.
            select
                jsonb_object_keys(probabilities) as label,
                0 as days
            from today

        ) as either
        group by label

    ) as seen
    left join {{ regime_labels }} as severities using (label)

),

steps as (

    select
        previous_label,
        regime_label,
        count(*) as transitions

    from regimes
    where previous_label is not null
    group by previous_label, regime_label

),

chain as (

    select
        {{ smoothed_probabilities }}(
            array_agg(
                coalesce(steps.transitions, 0)::double precision
                order by departing.place, arriving.place
            )
        ) as probabilities

    from known as departing
    cross join known as arriving
    left join steps
        on departing.label = steps.previous_label and arriving.label = steps.regime_label

),

laws as (

    select
        count(*)::integer as k,
        array_agg((label = today.regime_label)::integer::double precision order by place)
            as label_law,
        array_agg(
            coalesce((today.probabilities ->> label)::double precision, 0) order by place
        ) as state_law

    from known
    cross join today

),

-- Set 1 has all labels, set 2 today's label alone. Then, label by label, come the sets of all other
-- labels, and after them the sets of all less severe labels.
sets as (

    select
        array_agg(
            case
                when s = 1 then true
                when s = 2 then known.label = today.regime_label
                when s <= laws.k + 2 then known.place <> s - 2
                else known.place < s - 2 - laws.k
            end
            order by s, known.place
        ) as allowed

    from laws
    cross join generate_series(1, 2 * laws.k + 2) as s
    cross join known
    cross join today

),

walked as (

    select
        {{ confined_probabilities }}(
            laws.label_law, laws.state_law, chain.probabilities, sets.allowed, 0.95, days_ahead
        ) as mass

    from laws
    cross join chain
    cross join sets

),

totals as (

    select
        s,
        sum(walked.mass[(s - 1) * laws.k + j]) as inside

    from walked
    cross join laws
    cross join generate_series(1, 2 * laws.k + 2) as s
    cross join generate_series(1, laws.k) as j
    group by s

)

select
    today.as_of_date,
    days_ahead as horizon,
    today.regime_label,
    known.label,

    laws.state_law[known.place] as probability_today,
    walked.mass[known.place] as probability,
    greatest(0, 1 - elsewhere.inside) as probability_reached,
    greatest(0, 1 - below.inside) as probability_reached_or_worse,
    greatest(0, 1 - stayed.inside) as probability_of_change,
    known.observed_share

from known
cross join today
cross join laws
cross join walked
inner join totals as elsewhere on known.place + 2 = elsewhere.s
inner join totals as below on known.place + 2 + laws.k = below.s
inner join totals as stayed on stayed.s = 2
order by known.place;
end
