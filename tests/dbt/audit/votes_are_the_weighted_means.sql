with

regimes as (

    select * from {{ ref('regimes') }}

),

votes as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.regime_label,
        regimes.runner_up_label,
        case jsonb_typeof(regimes.probabilities)
            when 'object' then regimes.probabilities
        end as probabilities,
        regimes.expected_volatility,
        {{ function('float32_array') }}(regimes.regime_embedding) as numbers,
        regimes.metadata,
        case jsonb_typeof(regimes.metadata -> 'constituents')
            when 'array' then regimes.metadata -> 'constituents'
        end as voters,
        case jsonb_typeof(regimes.metadata -> 'labels')
            when 'array' then regimes.metadata -> 'labels'
        end as keys,
        regimes.run_id

    from regimes
    where {{ is_voted('regimes.region') }}

),

voters as materialized (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,
        voter.place,

        voter.lineage,
        voter.lineage ->> 'region' as voter_region,
        {{ day_or_null("voter.lineage -> 'as_of_date'") }} as voter_date,
        {{ number_or_null("voter.lineage -> 'weight'") }} as weight,
        {{ number_or_null("voter.lineage -> 'expected_volatility'") }} as expected_volatility

    from votes
    cross join lateral jsonb_array_elements(votes.voters) with ordinality as voter (lineage, place)

),

-- What the constituents determine beside the means.
lineages as (

    select
        voters.region,
        voters.as_of_date,
        voters.model_id,
        voters.window_days,

        count(*) as n_voters,
        bool_and(
            coalesce(
                case jsonb_typeof(voters.lineage)
                    when 'object'
                        then voters.lineage - array[
                            'region', 'weight', 'as_of_date', 'regime_label', 'expected_volatility',
                            'run_id'
                        ]
                end = '{}'
                and jsonb_typeof(voters.lineage -> 'region') = 'string'
                and jsonb_typeof(voters.lineage -> 'regime_label') = 'string'
                and jsonb_typeof(voters.lineage -> 'run_id') = 'string'
                and (
                    voters.lineage -> 'expected_volatility' = 'null'
                    or voters.expected_volatility > 0
                )
                and voters.weight > 0,
                false
            )
        ) as are_voters,
        array_agg(voters.voter_region order by voters.place) as regions,
        array_agg(distinct voters.voter_region collate "C" order by voters.voter_region collate "C")
            as sorted_regions,
        -- Null if a constituent was classified again since.
        case
            when count(regimes.run_id) = count(*)
                then min(regimes.metadata ->> 'first_trade_date' collate "C")
        end as first_trade_date,
        case
            when count(regimes.run_id) = count(*)
                then bool_or({{ truth_or_null("regimes.metadata -> 'in_sample'") }})
        end as in_sample,
        case
            when
                bool_and(voters.expected_volatility is not null)
                then
                    sum(voters.weight * voters.expected_volatility)
                    / nullif(sum(voters.weight), 0)
        end as expected_volatility

    from voters
    left join regimes
        on
            voters.voter_region = regimes.region
            and voters.voter_date = regimes.as_of_date
            and voters.model_id = regimes.model_id
            and voters.window_days = regimes.window_days
            and voters.lineage ->> 'run_id' = regimes.run_id::text
    group by voters.region, voters.as_of_date, voters.model_id, voters.window_days

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
            voters.weight
            * votes.numbers[(voters.place - 1) * jsonb_array_length(votes.keys) + keys.place]
        ) as total

    from votes
    inner join voters
        on
            votes.region = voters.region
            and votes.as_of_date = voters.as_of_date
            and votes.model_id = voters.model_id
            and votes.window_days = voters.window_days
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
        lineages.expected_volatility as mean_expected_volatility,
        case
            when
                (
                    lineages.are_voters
                    and lineages.regions = lineages.sorted_regions
                ) is not true
                then 'the constituents are none, or not in order'
            when votes.metadata -> 'last_trade_date' <> to_jsonb(votes.as_of_date)
                then 'a vote is of a day on which a constituent traded'
            when
                votes.metadata ->> 'first_trade_date' <> lineages.first_trade_date
                or votes.metadata -> 'in_sample' <> to_jsonb(lineages.in_sample)
                then 'the constituents have another first date, or another in_sample'
            when
                (
                    cardinality(votes.numbers)
                    = jsonb_array_length(votes.keys) * lineages.n_voters
                ) is not true
                then 'the vector is not of its constituents'
            when (differences.largest <= 1e-9) is not true
                then 'the probabilities are not the weighted mean of the vector'
            when (differences.of_label < differences.highest) is not false
                then 'the label is not the most probable'
            when
                votes.runner_up_label = votes.regime_label
                or coalesce(differences.of_runner_up, -1)
                <> coalesce(differences.highest_of_others, -1)
                then 'the runner-up is not the most probable of the other labels'
            when
                (votes.expected_volatility is null) <> (lineages.expected_volatility is null)
                or abs(votes.expected_volatility - lineages.expected_volatility)
                > 1e-9 * abs(lineages.expected_volatility)
                then 'the expected volatility is not the weighted mean of its constituents'
        end as fault,
        votes.run_id

    from votes
    left join means
        on
            votes.region = means.region
            and votes.as_of_date = means.as_of_date
            and votes.model_id = means.model_id
            and votes.window_days = means.window_days
    left join lineages
        on
            votes.region = lineages.region
            and votes.as_of_date = lineages.as_of_date
            and votes.model_id = lineages.model_id
            and votes.window_days = lineages.window_days
    cross join lateral (

        select
            -- Null if a label is in only one of the two.
            case
                when
                    count(probability.stored) = count(*)
                    and count(probability.expected) = count(*)
                    then max(abs(probability.stored - probability.expected))
            end as largest,
            max(probability.stored) as highest,
            max(probability.stored) filter (where probability.label = votes.regime_label)
                as of_label,
            max(probability.stored) filter (where probability.label = votes.runner_up_label)
                as of_runner_up,
            max(probability.stored) filter (where probability.label <> votes.regime_label)
                as highest_of_others
        from (

            select
                key as label,
                {{ number_or_null('stored.value') }} as stored,
                expected.value::double precision as expected
            from jsonb_each(votes.probabilities) as stored
            full join jsonb_each_text(means.expected_probabilities) as expected using (key)

        ) as probability

    ) as differences

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date
