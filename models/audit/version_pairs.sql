with

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

replaced as (

    select
        old_row ->> 'region' as region,
        (old_row ->> 'as_of_date')::date as as_of_date,
        old_row ->> 'model_id' as model_id,
        (old_row ->> 'window_days')::integer as window_days,
        (old_row ->> 'model_version')::integer as model_version,

        old_row ->> 'regime_label' as regime_label,
        (old_row ->> 'confidence')::double precision as confidence,
        revised_at as replaced_at

    from revisions
    where table_name = 'regimes'

),

said as (

    select
        region,
        as_of_date,
        model_id,
        window_days,
        model_version,

        regime_label,
        confidence,
        null::timestamp with time zone as replaced_at

    from regimes

    union all

    select * from replaced

),

-- The last label of each version for a day: the row in force, or else the row replaced last.
last_said as not materialized (

    select distinct on (region, as_of_date, model_id, window_days, model_version) *
    from said
    order by region, as_of_date, model_id, window_days, model_version, replaced_at desc

),

pairs as (

    select
        region,
        as_of_date,

        one.model_id as first_model_id,
        one.window_days as first_window_days,
        one.model_version as first_version,
        one.regime_label as first_label,
        one.confidence as first_confidence,
        one.replaced_at is null as first_is_in_force,

        other.model_id as second_model_id,
        other.window_days as second_window_days,
        other.model_version as second_version,
        other.regime_label as second_label,
        other.confidence as second_confidence,
        other.replaced_at is null as second_is_in_force

    from last_said as one
    inner join last_said as other using (region, as_of_date)
    where
        (one.model_id, one.window_days, one.model_version)
        < (other.model_id, other.window_days, other.model_version)

)

select * from pairs
