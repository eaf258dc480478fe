with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

labels as (

    select * from {{ ref('regime_labels') }}

),

used as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        'regime_label' as used_as,
        regime_label as label

    from regimes

    union all

    select
        region,
        as_of_date,
        model_id,
        window_days,

        'runner_up_label' as used_as,
        runner_up_label as label

    from regimes
    where runner_up_label is not null

    union all

    select
        region,
        as_of_date,
        model_id,
        window_days,

        'probabilities' as used_as,
        jsonb_object_keys(
            case when jsonb_typeof(probabilities) = 'object' then probabilities end
        ) as label

    from regimes

    union all

    select
        region,
        valid_from as as_of_date,
        model_id,
        window_days,

        'version ' || version as used_as,
        unnest(labels) as label

    from versions

),

unknown as (

    select used.*
    from used
    left join labels on used.label = labels.label
    where labels.label is null

)

select * from unknown
order by region, as_of_date
