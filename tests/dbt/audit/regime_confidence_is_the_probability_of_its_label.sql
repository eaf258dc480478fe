with

regimes as (

    select * from {{ ref('regimes') }}

),

totals as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        regime_label,
        confidence,
        (probabilities ->> regime_label)::double precision as probability_of_label,
        (
            select sum(value::double precision)
            from jsonb_each_text(probabilities)
        ) as sum_of_probabilities

    from regimes

),

faulty as (

    select * from totals
    where
        -- NaN is greater than every number in Postgres, so it is out of the range too.
        (
            confidence between 0 and 1
            and confidence = probability_of_label
            and abs(sum_of_probabilities - 1) < 1e-9
        ) is not true

)

select * from faulty
order by region, as_of_date
