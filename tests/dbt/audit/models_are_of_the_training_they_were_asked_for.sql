{# A training that is not the same with today's features may be of prices that were restated since:
   training_windows_match_the_features warns of it. It was edited in two cases. One: versions of the
   same run that are still the same were trained on all its days. Two: today's features give the stored
   hash for the stored days, and the run was asked for earlier ones too. Later ones may have come since.
   An earlier one is part of the windows after it. -#}
{%- set labels_of_states = {
    2: ['NEUTRAL', 'CRISIS'],
    3: ['CARRY', 'NEUTRAL', 'CRISIS'],
    4: ['CARRY', 'NEUTRAL', 'RISK_OFF', 'CRISIS']
} %}
with

trainings as materialized (

    select
        *,
        coalesce(training_hash <> training_hash_today, true) as is_changed

    from {{ ref('model_trainings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

changed as (

    select * from trainings
    where is_changed

),

running as (

    {{ running_hashes('features') }}

),

-- Of a version that changed: the days that are stored or that its run was asked for.
windows as (

    select
        changed.region,
        changed.model_id,
        changed.window_days,
        changed.version,

        until_last.trade_date as as_of_date,
        until_last.trade_date between changed.trained_from and changed.trained_to as is_stored,
        until_last.trade_date between changed.trained_from_today and changed.trained_to_today
            as is_asked,
        {{ window_hash_between('until_first', 'until_last') }} as window_hash

    from changed
    inner join running as until_last
        on
            changed.instrument_id = until_last.instrument_id
            and changed.window_days <= until_last.day_number
            and until_last.trade_date >= least(changed.trained_from, changed.trained_from_today)
            and until_last.trade_date <= greatest(changed.trained_to, changed.trained_to_today)
    left join running as until_first
        on
            until_last.instrument_id = until_first.instrument_id
            and until_last.day_number - changed.window_days = until_first.day_number
    where changed.labelled = '[]'

),

as_stored as (

    select
        region,
        model_id,
        window_days,
        version,

        encode(
            sha256(
                convert_to(
                    string_agg(
                        ' ' || to_char(as_of_date, 'YYYY-MM-DD') || ' ' || window_hash || e'\n',
                        ''
                        order by as_of_date
                    ),
                    'UTF8'
                )
            ),
            'hex'
        ) as training_hash

    from windows
    where is_stored
    group by region, model_id, window_days, version

),

-- Days on which another version of the same run was trained, which has not changed since.
unchanged_days as (

    select distinct
        windows.region,
        windows.model_id,
        windows.window_days,
        windows.version,
        windows.as_of_date

    from windows
    inner join changed using (region, model_id, window_days, version)
    inner join trainings as others
        on
            changed.region = others.region
            and changed.model_id = others.model_id
            and changed.window_days = others.window_days
            and changed.run_id = others.run_id
            and windows.as_of_date between others.trained_from_today and others.trained_to_today
    where
        windows.is_asked
        and not others.is_changed
        -- A run takes over the versions of an earlier run that failed.
        and changed.created_at >= changed.started_at
        and others.created_at >= others.started_at

),

covered as (

    select
        region,
        model_id,
        window_days,
        version,
        count(*) as n_unchanged_days

    from unchanged_days
    group by region, model_id, window_days, version

),

stretches as (

    select
        trainings.region,
        trainings.model_id,
        trainings.window_days,
        trainings.version,

        array_agg(
            distinct split_part(stretch.value #>> '{}', '=', 1) collate "C"
        ) as labels_asked

    from trainings
    cross join lateral jsonb_array_elements(trainings.labelled) as stretch (value)
    group by trainings.region, trainings.model_id, trainings.window_days, trainings.version

),

judged as (

    select
        trainings.region,
        trainings.model_id,
        trainings.window_days,
        trainings.version,

        trainings.trained_from,
        trainings.trained_from_today,
        trainings.trained_to,
        trainings.trained_to_today,
        trainings.n_windows,
        trainings.n_windows_today,
        trainings.valid_from,
        trainings.run_id,

        case
            when trainings.trained_from > trainings.trained_to
                then 'its training ends before it begins'
            when trainings.is_walk_forward and trainings.trained_to >= trainings.valid_from
                then 'it was trained on days of its own future'
            when
                not trainings.is_walk_forward
                and trainings.valid_from
                <> coalesce(trainings.valid_from_asked, trainings.trained_to + 1)
                then 'its run was asked for another first valid day'
            when
                trainings.is_walk_forward
                and (
                    trainings.valid_from < trainings.start_date
                    or trainings.valid_from > trainings.end_date
                    or (
                        (trainings.valid_from is distinct from trainings.start_date)
                        and (
                            extract(day from trainings.valid_from) <> 1
                            -- Without a start, the months count from the first year with enough
                            -- days, which only then is a January of each year.
                            or (
                                (
                                    trainings.start_date is not null
                                    or 12 % nullif(trainings.every_months, 0) = 0
                                )
                                and (
                                    12 * (
                                        extract(year from trainings.valid_from)
                                        - extract(year from coalesce(
                                            trainings.start_date, trainings.valid_from
                                        ))
                                    )
                                    + extract(month from trainings.valid_from) - 1
                                )::integer
                                % nullif(trainings.every_months, 0) <> 0
                            )
                        )
                    )
                )
                then 'its first valid day is not of the schedule of its run'
            when trainings.trained_from < trainings.start_date and not trainings.is_walk_forward
                then 'it was trained on days before those of its run'
            when trainings.trained_to > trainings.end_date
                then 'it was trained on days after those of its run'
            when
                coalesce(
                    trainings.labels <> case
                        when trainings.labelled <> '[]' then stretches.labels_asked
                        {% for states, labels in labels_of_states.items() %}
                        when
                            coalesce(trainings.states, cardinality(trainings.labels))
                            = {{ states }}
                            then '{ {{- labels | join(", ") -}} }'::text[]
                        {% endfor %}
                    end,
                    true
                )
                then 'its labels are not those that its run was asked for'
            when
                trainings.labelled = '[]'
                and trainings.has_chosen_states <> (trainings.states is null)
                and trainings.created_at >= trainings.started_at
                then 'its number of states was chosen or given otherwise than its run says'
            when
                not trainings.is_changed
                and (
                    trainings.trained_from <> trainings.trained_from_today
                    or trainings.trained_to <> trainings.trained_to_today
                    or trainings.n_windows <> trainings.n_windows_today
                )
                then 'its training is of other days than it says'
            when
                as_stored.training_hash = trainings.training_hash
                and trainings.trained_from > trainings.trained_from_today
                then 'it was trained on fewer days than its run was asked for'
            when trainings.is_changed and covered.n_unchanged_days = trainings.n_windows_today
                then 'it was trained on other windows than the other versions of its run'
        end as fault

    from trainings
    left join as_stored using (region, model_id, window_days, version)
    left join covered using (region, model_id, window_days, version)
    left join stretches using (region, model_id, window_days, version)

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by region, model_id, window_days, version
