with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

classified as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        regimes.model_version,
        versions.classifier,
        -- The seed rule knows one label.
        case
            when regimes.model_version = 0 then array['NEUTRAL']
            else versions.labels
        end as labels,
        regimes.regime_label,
        regimes.runner_up_label,
        regimes.probabilities

    from regimes
    left join versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version
    where not {{ is_voted('regimes.region') }}

),

summarised as (

    select
        classified.*,
        (
            select array_agg(name order by name) from unnest(classified.labels) as name
        ) as sorted_labels,
        names.sorted_names,
        names.lowest,
        names.highest_of_others,
        (classified.probabilities ->> classified.regime_label)::double precision as of_label,
        (classified.probabilities ->> classified.runner_up_label)::double precision as of_runner_up

    from classified
    cross join lateral (

        select
            array_agg(key order by key) as sorted_names,
            min(value::double precision) as lowest,
            max(value::double precision) filter (where key <> classified.regime_label)
                as highest_of_others

        from jsonb_each_text(classified.probabilities)

    ) as names

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
        case
            when coalesce(sorted_names <> sorted_labels, true)
                then 'the probabilities are not of the labels of the model'
            when lowest < 0 then 'a probability is negative'
            when
                runner_up_label = regime_label
                or coalesce(of_runner_up, -1) <> coalesce(highest_of_others, -1)
                then 'the runner-up is not the most probable of the other labels'
            -- A Markov model may keep its label while another is slightly more probable.
            when classifier = 'prototype' and of_label < highest_of_others
                then 'the label is not the most probable'
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
