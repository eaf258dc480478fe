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
        {{ number_or_null('probabilities -> regime_label') }} as probability_of_label,
        (
            select sum({{ number_or_null('value') }})
            from jsonb_each(case when jsonb_typeof(probabilities) = 'object' then probabilities end)
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
