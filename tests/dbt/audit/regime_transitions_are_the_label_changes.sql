with

regimes as (

    select * from {{ ref('regimes') }}

),

transitions as (

    select * from {{ ref('regime_transitions') }}

),

steps as (

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

changes as (

    select * from steps
    where from_regime_label <> to_regime_label

),

differing as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        case
            when transitions.region is null then 'the label changed, but no transition is recorded'
            when changes.region is null
                then 'a transition is recorded, but the label did not change'
            else 'the transition says something else than the regimes'
        end as fault,
        changes.previous_as_of_date as previous_date,
        changes.from_regime_label as label_before,
        changes.to_regime_label as label,
        changes.from_confidence as confidence_before,
        changes.to_confidence as confidence,
        transitions.previous_as_of_date as recorded_previous_date,
        transitions.from_regime_label as recorded_from_label,
        transitions.to_regime_label as recorded_to_label,
        transitions.from_confidence as recorded_from_confidence,
        transitions.to_confidence as recorded_to_confidence

    from changes
    full join transitions using (region, as_of_date, model_id, window_days)
    where
        (
            changes.previous_as_of_date, changes.from_regime_label, changes.to_regime_label,
            changes.from_confidence, changes.to_confidence
        ) is distinct from (
            transitions.previous_as_of_date, transitions.from_regime_label,
            transitions.to_regime_label, transitions.from_confidence, transitions.to_confidence
        )

)

select * from differing
order by region, as_of_date
