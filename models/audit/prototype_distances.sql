with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

measured as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,
        of_the_model.label,

        regimes.model_version,
        {{ number_or_null("regimes.metadata -> 'distances' -> of_the_model.label") }}
            as stored_distance,
        {{ function('prototype_distance') }}(
            decoded.numbers, versions.parameters, of_the_model.place::integer - 1
        ) as distance,
        {{ number_or_null('regimes.probabilities -> of_the_model.label') }} as stored_probability,
        {{ number_or_null("versions.parameters -> 'temperature'") }} as temperature

    from regimes
    inner join versions
        on
            regimes.region = versions.region
            and regimes.model_id = versions.model_id
            and regimes.window_days = versions.window_days
            and regimes.model_version = versions.version
    inner join lateral (

        select {{ function('float32_array') }}(regimes.regime_embedding) as numbers
        -- Decodes once per regime, not once per label.
        offset 0 -- noqa: AM09, PRS

    ) as decoded on true
    cross join lateral unnest(versions.labels) with ordinality as of_the_model (label, place)
    where versions.classifier = 'prototype'

),

weighed as (

    select
        *,
        -- Postgres fails where a power of e is too small to be told from 0.
        exp(
            greatest(-700, (min(distance) over of_the_regime - distance) / nullif(temperature, 0))
        ) as weight

    from measured
    window of_the_regime as (partition by region, as_of_date, model_id, window_days)

),

compared as (

    select
        region,
        as_of_date,
        model_id,
        window_days,
        label,

        model_version,
        stored_distance,
        distance,
        abs(distance - stored_distance) / nullif(greatest(distance, stored_distance), 0)
            as relative_difference,

        stored_probability,
        weight / sum(weight) over of_the_regime as probability

    from weighed
    window of_the_regime as (partition by region, as_of_date, model_id, window_days)

)

select * from compared
