with

regimes as (

    select * from {{ ref('regimes') }}

),

recorded as not materialized (

    select * from {{ ref('regime_transitions') }}

),

steps as not materialized (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        lag(as_of_date) over series as previous_as_of_date,
        lag(regime_label) over series as from_regime_label,
        regime_label as to_regime_label,
        lag(confidence) over series as from_confidence,
        confidence as to_confidence

    from regimes
    window series as (partition by region, model_id, window_days order by as_of_date)

),

recomputed as not materialized (

    select * from steps
    where from_regime_label <> to_regime_label

),

-- Not a full join, which would keep the filter on a region from reaching the tables.
keys as (

    select
        region,
        as_of_date,
        model_id,
        window_days
    from recorded

    union

    select
        region,
        as_of_date,
        model_id,
        window_days
    from recomputed

),

compared as (

    select
        keys.region,
        keys.as_of_date,
        keys.model_id,
        keys.window_days,

        case
            when recorded.region is null then 'not recorded'
            when recomputed.region is null then 'no change of label'
            when (
                recorded.previous_as_of_date,
                recorded.from_regime_label,
                recorded.to_regime_label,
                recorded.from_confidence,
                recorded.to_confidence
            ) = (
                recomputed.previous_as_of_date,
                recomputed.from_regime_label,
                recomputed.to_regime_label,
                recomputed.from_confidence,
                recomputed.to_confidence
            ) then 'agrees'
            else 'differs'
        end as verdict,
        array_remove(
            array[
                {%- for column in [
                    'previous_as_of_date', 'from_regime_label', 'to_regime_label',
                    'from_confidence', 'to_confidence'
                ] %}
                case
                    when recorded.{{ column }} <> recomputed.{{ column }} then '{{ column }}'
                end{{ ',' if not loop.last }}
                {%- endfor %}
            ],
            null
        ) as differing_columns,

        recorded.previous_as_of_date as recorded_previous_as_of_date,
        recomputed.previous_as_of_date as recomputed_previous_as_of_date,
        recorded.from_regime_label as recorded_from_label,
        recomputed.from_regime_label as recomputed_from_label,
        recorded.to_regime_label as recorded_to_label,
        recomputed.to_regime_label as recomputed_to_label,
        recorded.from_confidence as recorded_from_confidence,
        recomputed.from_confidence as recomputed_from_confidence,
        recorded.to_confidence as recorded_to_confidence,
        recomputed.to_confidence as recomputed_to_confidence,

        recorded.run_id

    from keys
    left join recorded
        on
            keys.region = recorded.region
            and keys.as_of_date = recorded.as_of_date
            and keys.model_id = recorded.model_id
            and keys.window_days = recorded.window_days
    left join recomputed
        on
            keys.region = recomputed.region
            and keys.as_of_date = recomputed.as_of_date
            and keys.model_id = recomputed.model_id
            and keys.window_days = recomputed.window_days

)

select * from compared
