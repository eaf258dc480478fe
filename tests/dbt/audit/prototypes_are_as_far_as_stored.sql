{# What the view prototype_distances shows, computed from the numbers of the embedding that count.
   The view decodes whole vectors, which takes too long for every row. #}
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
        jsonb_array_length(learned.centers) as n_centers,
        learned.centers,
        learned.mean,
        learned.scale,
        {{ number_or_null('learned.temperature') }} as temperature,
        learned.novelty_percentiles

    from fitted as models
    cross join lateral jsonb_to_record({{ object_or_empty('models.parameters') }}) as learned (
        centers jsonb,
        mean jsonb,
        scale jsonb,
        temperature jsonb,
        novelty_percentiles jsonb
    )

),

-- A number whose scale is 0 counts as 0.
coordinates as (

    select
        versions.region,
        versions.model_id,
        versions.window_days,
        versions.version,

        state.label,
        number,
        {{ number_or_null('versions.centers -> (state.place::integer - 1) -> number') }} as center,
        case
            when versions.mean is null then 0 else {{ number_or_null('versions.mean -> number') }}
        end as mean,
        case
            when versions.mean is null then 1 else {{ number_or_null('versions.scale -> number') }}
        end as scale

    from versions
    cross join unnest(versions.labels) with ordinality as state (label, place)
    cross join generate_series(0, jsonb_array_length(versions.centers -> 0) - 1) as number
    where versions.classifier = 'prototype'

),

centers as materialized (

    select
        region,
        model_id,
        window_days,
        version,
        label,

        count(*) as n_numbers,
        array_agg(number order by number) filter (where scale > 0) as numbers,
        array_agg(mean order by number) filter (where scale > 0) as means,
        array_agg(scale order by number) filter (where scale > 0) as scales,
        array_agg(center order by number) filter (where scale > 0) as center,
        sum(center * center) filter (where scale = 0) as squares_of_the_rest

    from coordinates
    group by region, model_id, window_days, version, label

),

-- Powers of 2, by the exponent of a float32.
exponents as materialized (

    select array_agg(2::double precision ^ (number - 150) order by number) as powers
    from generate_series(0, 255) as number

),

measured as (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,
        centers.label,

        regimes.model_version,
        {{ number_or_null("regimes.metadata -> 'distances' -> centers.label") }} as stored_distance,
        {{ number_or_null('regimes.probabilities -> centers.label') }} as stored_probability,
        {{ number_or_null("regimes.metadata -> 'novelty'") }} as novelty,
        case
            when octet_length(regimes.regime_embedding) = 4 * centers.n_numbers
                then sqrt(
                    coalesce(centers.squares_of_the_rest, 0)
                    + (
                        select
                            sum(
                                (
                                    (
                                        {{ float32_number(
                                            'regimes.regime_embedding',
                                            'place.number',
                                            'exponents.powers',
                                        ) }}
                                        - place.mean
                                    )
                                    / place.scale
                                    - place.center
                                ) ^ 2
                            )
                        from unnest(centers.numbers, centers.means, centers.scales, centers.center)
                            as place (number, mean, scale, center)
                    )
                )
        end as distance,
        case jsonb_typeof(regimes.metadata -> 'distances')
            when 'object' then regimes.metadata -> 'distances'
        end as stored_distances,
        regimes.run_id

    from regimes
    inner join centers
        on
            regimes.region = centers.region
            and regimes.model_id = centers.model_id
            and regimes.window_days = centers.window_days
            and regimes.model_version = centers.version
    cross join exponents
    -- Measures each distance once.
    offset 0 -- noqa: AM09, PRS

),

weighed as (

    select
        measured.*,
        versions.labels,
        versions.n_centers,
        versions.novelty_percentiles,
        -- Postgres fails where a power of e is too small to be told from 0.
        exp(
            greatest(
                -700,
                (min(measured.distance) over of_the_regime - measured.distance)
                / nullif(versions.temperature, 0)
            )
        ) as weight

    from measured
    inner join versions
        on
            measured.region = versions.region
            and measured.model_id = versions.model_id
            and measured.window_days = versions.window_days
            and measured.model_version = versions.version
    window of_the_regime as (
        partition by measured.region, measured.as_of_date, measured.model_id, measured.window_days
    )

),

compared as (

    select
        *,
        weight / sum(weight) over of_the_regime as probability,
        min(stored_distance) over of_the_regime as nearest,
        floor(least(99, greatest(0, novelty)))::integer as percentile

    from weighed
    window of_the_regime as (partition by region, as_of_date, model_id, window_days)

),

looked_up as (

    select
        *,
        {{ number_or_null('novelty_percentiles -> percentile') }} as percentile_below,
        {{ number_or_null('novelty_percentiles -> (percentile + 1)') }} as percentile_above,
        {{ number_or_null('novelty_percentiles -> 0') }} as lowest_percentile,
        {{ number_or_null('novelty_percentiles -> 100') }} as highest_percentile

    from compared

),

judged as (

    select
        region,
        as_of_date,
        model_id,
        window_days,
        label,

        model_version,
        stored_distance,
        distance,
        stored_probability,
        probability,
        case
            when
                (
                    cardinality(labels) = n_centers
                    and stored_distances - labels = '{}'
                    and abs(stored_distance - distance) <= 1e-9 * greatest(1, distance)
                ) is not true
                then 'the distance is not that from the embedding to the centre'
            when (abs(stored_probability - probability) <= 1e-9) is not true
                then 'the probability is not that of the distance'
            -- The novelty is looked up backwards, since several percentiles may be the same.
            when
                (
                    abs(
                        percentile_below
                        + (novelty - percentile) * (percentile_above - percentile_below)
                        - least(highest_percentile, greatest(lowest_percentile, nearest))
                    ) <= 1e-9 * greatest(1, nearest)
                ) is not true
                then 'the novelty is not the percentile of the nearest distance'
        end as fault,
        run_id

    from looked_up

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, as_of_date, label
