with

regimes as (

    select * from {{ ref('regimes') }}

),

fitted as (

    select * from {{ ref('regime_models') }}

),

-- Materialized, because the parameters of a version are large.
versions as materialized (

    select
        models.region,
        models.model_id,
        models.window_days,
        models.version,

        models.classifier,
        models.labels,
        {{ number_or_null('learned.beta') }} as beta,
        {{ number_or_null('learned.hysteresis') }} as hysteresis,
        {{ number_or_null('learned.prior_power') }} as prior_power,
        {{ number_or_null('learned.volatility_share') }} as volatility_share,
        {{ number_or_null("learned.volatility -> 'mean'") }} as volatility_mean,
        {{ number_or_null("learned.volatility -> 'deviation'") }} as volatility_deviation,
        learned.experts

    from fitted as models
    cross join lateral jsonb_to_record({{ object_or_empty('models.parameters') }}) as learned (
        beta jsonb,
        hysteresis jsonb,
        prior_power jsonb,
        volatility_share jsonb,
        volatility jsonb,
        experts jsonb
    )

),

experts as (

    select
        versions.*,
        {{ number_or_null("expert.parameters -> 'share'") }} as share,
        expert.parameters -> 'sigma' as sigma,
        expert.parameters -> 'initial' as initial

    from versions
    cross join lateral jsonb_path_query(versions.experts, '$[*]') as expert (parameters)
    where versions.classifier = 'markov'

),

-- Of each state the probability before a window, and the volatility.
states_of_experts as (

    select
        experts.*,
        state.k as place,
        {{ number_or_null('state.sigma') }} as sigma_of_state,
        (
            select sum({{ number_or_null('number') }})
            from jsonb_path_query(experts.initial -> (state.k::integer - 1), '$[*]') as number
        ) as start

    from experts
    cross join lateral jsonb_path_query(experts.sigma, '$[*]') with ordinality as state (sigma, k)

),

states as (

    select
        region,
        model_id,
        window_days,
        version,
        place,

        prior_power,
        volatility_share,
        volatility_mean,
        volatility_deviation,
        sum(share * ln(nullif(greatest(start, 0), 0))) as log_start,
        sum(share * ln(nullif(greatest(sigma_of_state, 0), 0))) as log_sigma

    from states_of_experts
    group by
        region,
        model_id,
        window_days,
        version,
        place,
        prior_power,
        volatility_share,
        volatility_mean,
        volatility_deviation

),

spread as (

    select
        *,
        0.7 * (max(log_sigma) over of_the_version - min(log_sigma) over of_the_version)
        / nullif(count(*) over of_the_version - 1, 0) as width

    from states
    window of_the_version as (partition by region, model_id, window_days, version)

),

-- The 17 nodes of the volatility expert, each of which is read as states. Their law in the long run
-- is binomial.
nodes as (

    select
        number,
        (factorial(16) / factorial(number) / factorial(16 - number))::double precision / 65536
            as chance

    from generate_series(0, 16) as number

),

read_as_states as (

    select
        spread.*,
        nodes.number,
        nodes.chance,
        -0.5 * (
            (
                spread.volatility_mean
                + spread.volatility_deviation * (nodes.number / 2.0::double precision - 4)
                - spread.log_sigma
            )
            / nullif(spread.width, 0)
        ) ^ 2 as log_share

    from spread
    cross join nodes

),

shares as (

    select
        *,
        exp(greatest(-99, log_share - max(log_share) over of_the_node)) as share

    from read_as_states
    window of_the_node as (partition by region, model_id, window_days, version, number)

),

shares_of_nodes as (

    select
        *,
        share / sum(share) over of_the_node as share_of_node

    from shares
    window of_the_node as (partition by region, model_id, window_days, version, number)

),

-- ln π^0.7, averaged over the experts.
log_priors as (

    select
        region,
        model_id,
        window_days,
        version,
        place,

        prior_power * (
            (1 - volatility_share) * log_start
            + volatility_share * ln(sum(chance * share_of_node))
        ) as log_prior

    from shares_of_nodes
    group by
        region,
        model_id,
        window_days,
        version,
        place,
        prior_power,
        volatility_share,
        log_start

),

priors as (

    select
        region,
        model_id,
        window_days,
        version,

        array_agg(log_prior order by place) as log_priors

    from log_priors
    group by region, model_id, window_days, version

),

models as materialized (

    select
        versions.region,
        versions.model_id,
        versions.window_days,
        versions.version,

        versions.classifier,
        versions.labels,
        versions.beta,
        versions.hysteresis,
        priors.log_priors

    from versions
    left join priors
        on
            versions.region = priors.region
            and versions.model_id = priors.model_id
            and versions.window_days = priors.window_days
            and versions.version = priors.version

),

classified as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        models.classifier,
        -- The seed rule knows one label.
        case
            when regimes.model_version = 0 then array['NEUTRAL']
            else models.labels
        end as labels,
        regimes.regime_label,
        regimes.runner_up_label,
        regimes.probabilities,
        case jsonb_typeof(regimes.metadata -> 'filtered')
            when 'object' then regimes.metadata -> 'filtered'
        end as filtered,
        models.beta,
        models.hysteresis,
        models.log_priors

    from regimes
    left join models
        on
            regimes.region = models.region
            and regimes.model_id = models.model_id
            and regimes.window_days = models.window_days
            and regimes.model_version = models.version
    where not {{ is_voted('regimes.region') }}

),

summarised as (

    select
        classified.*,
        of_labels.*

    from classified
    cross join lateral (

        select
            count(*) as n_labels,
            count(of_label.probability) as n_probabilities,
            min(of_label.probability) as lowest,
            max(of_label.probability) filter (where of_label.label = classified.regime_label)
                as of_label,
            max(of_label.probability) filter (where of_label.label = classified.runner_up_label)
                as of_runner_up,
            max(of_label.probability) filter (where of_label.label <> classified.regime_label)
                as highest_of_others,

            count(of_label.filtered) filter (where of_label.filtered >= 0) as n_filtered,
            sum(of_label.filtered) as sum_of_filtered,
            max(of_label.log_constant) - min(of_label.log_constant) as spread,
            max(of_label.small) as largest_of_small,
            max(of_label.log_odds) as highest_log_odds,
            max(of_label.log_odds) filter (where of_label.label = classified.regime_label)
                as log_odds_of_label
        from (

            select
                numbers.label,
                numbers.probability,
                numbers.filtered,
                -- ln p - β ln f is the same for all labels.
                case
                    when numbers.probability > 1e-99 and numbers.filtered > 1e-99
                        then ln(numbers.probability) - classified.beta * ln(numbers.filtered)
                end as log_constant,
                case
                    when numbers.probability <= 1e-99 or numbers.filtered <= 1e-99
                        then greatest(numbers.probability, numbers.filtered)
                end as small,
                case
                    when numbers.filtered > 0 then ln(numbers.filtered) - numbers.log_prior
                end as log_odds
            from (

                select
                    place.label,
                    place.log_prior,
                    {{ number_or_null('place.probability') }} as probability,
                    {{ number_or_null('place.filtered') }} as filtered
                from (

                    select
                        state.label,
                        state.log_prior,
                        classified.probabilities -> state.label as probability,
                        classified.filtered -> state.label as filtered
                    from
                        unnest(classified.labels, classified.log_priors) as state (label, log_prior)
                    offset 0 -- noqa: AM09, PRS

                ) as place
                -- Reads each number once.
                offset 0 -- noqa: AM09, PRS

            ) as numbers

        ) as of_label

    ) as of_labels

),

judged as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        model_version,
        regime_label,
        runner_up_label,
        probabilities,
        filtered,
        case
            when n_probabilities <> n_labels
                then 'the probabilities are not of the labels of the model'
            when probabilities - labels <> '{}'
                then 'the probabilities are not of the labels of the model'
            when lowest < 0 then 'a probability is negative'
            when
                runner_up_label = regime_label
                or coalesce(of_runner_up, -1) <> coalesce(highest_of_others, -1)
                then 'the runner-up is not the most probable of the other labels'
            -- A Markov model may keep its label while another is slightly more probable.
            when classifier = 'prototype' and of_label < highest_of_others
                then 'the label is not the most probable'
            when classifier = 'markov'
                then
                    case
                        when
                            n_filtered <> n_labels
                            or filtered - labels <> '{}'
                            or abs(sum_of_filtered - 1) > 1e-9
                            then 'the filtered probabilities are not of the labels'
                        when (spread <= 1e-9) is not true or largest_of_small > 1e-30
                            then 'the probabilities are not the filtered ones to the power beta'
                        -- The filter counts in single precision.
                        when (highest_log_odds <= log_odds_of_label + hysteresis + 1e-4) is not true
                            then 'the filter would have changed to another label'
                    end
        end as fault

    from summarised
    where labels is not null

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date
