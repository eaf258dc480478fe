with

regimes as (

    select * from {{ ref('regimes') }}

),

votes as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        regime_label,
        runner_up_label,
        probabilities,
        expected_volatility,
        {{ function('float32_array') }}(regime_embedding) as numbers,
        metadata -> 'constituents' as voters,
        metadata -> 'labels' as keys,
        jsonb_array_length(metadata -> 'labels') as n_labels

    from regimes
    where {{ is_voted('region') }}

),

-- The vector has the constituents' probabilities, one constituent after another.
totals as (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,

        keys.label,
        sum(
            (voters.voter ->> 'weight')::double precision
            * votes.numbers[(voters.place - 1) * votes.n_labels + keys.place]
        ) as total

    from votes
    cross join lateral jsonb_array_elements(votes.voters) with ordinality as voters (voter, place)
    cross join lateral jsonb_array_elements_text(votes.keys) with ordinality as keys (label, place)
    group by votes.region, votes.as_of_date, votes.model_id, votes.window_days, keys.label

),

means as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        jsonb_object_agg(label, total / nullif(day_total, 0)) as expected_probabilities

    from (

        select
            *,
            sum(total) over (
                partition by region, as_of_date, model_id, window_days
            ) as day_total
        from totals

    ) as shares
    group by region, as_of_date, model_id, window_days

),

-- The mean is null if a constituent has no expected volatility.
volatilities as (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,

        case
            when bool_and(voters.voter ->> 'expected_volatility' is not null)
                then
                    sum(
                        (voters.voter ->> 'weight')::double precision
                        * (voters.voter ->> 'expected_volatility')::double precision
                    )
                    / nullif(sum((voters.voter ->> 'weight')::double precision), 0)
        end as expected_volatility

    from votes
    cross join lateral jsonb_array_elements(votes.voters) as voters (voter)
    group by votes.region, votes.as_of_date, votes.model_id, votes.window_days

),

judged as (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,

        votes.regime_label,
        votes.runner_up_label,
        votes.probabilities,
        means.expected_probabilities,
        votes.expected_volatility,
        volatilities.expected_volatility as mean_expected_volatility,
        case
            when
                cardinality(votes.numbers) <> votes.n_labels * jsonb_array_length(votes.voters)
                then 'the vector is not of its constituents'
            when differences.largest is null or differences.largest > 1e-9
                then 'the probabilities are not the weighted mean of the vector'
            when
                (votes.probabilities ->> votes.regime_label)::double precision < differences.highest
                then 'the label is not the most probable'
            when
                votes.runner_up_label = votes.regime_label
                or coalesce((votes.probabilities ->> votes.runner_up_label)::double precision, -1)
                <> coalesce(differences.highest_of_others, -1)
                then 'the runner-up is not the most probable of the other labels'
            when
                (votes.expected_volatility is null) <> (volatilities.expected_volatility is null)
                or abs(votes.expected_volatility - volatilities.expected_volatility)
                > 1e-9 * abs(volatilities.expected_volatility)
                then 'the expected volatility is not the weighted mean of its constituents'
        end as fault

    from votes
    left join means
        on
            votes.region = means.region
            and votes.as_of_date = means.as_of_date
            and votes.model_id = means.model_id
            and votes.window_days = means.window_days
    left join volatilities
        on
            votes.region = volatilities.region
            and votes.as_of_date = volatilities.as_of_date
            and votes.model_id = volatilities.model_id
            and votes.window_days = volatilities.window_days
    cross join lateral (

        select
            -- Null if a label is in only one of the two.
            case
                when count(stored.value) = count(*) and count(expected.value) = count(*)
                    then
                        max(
                            abs(
                                stored.value::double precision - expected.value::double precision
                            )
                        )
            end as largest,
            max(stored.value::double precision) as highest,
            max(stored.value::double precision) filter (where key <> votes.regime_label)
                as highest_of_others
        from jsonb_each_text(votes.probabilities) as stored
        full join jsonb_each_text(means.expected_probabilities) as expected using (key)

    ) as differences

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date
