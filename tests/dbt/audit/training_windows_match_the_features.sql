with

versions as (

    select * from {{ ref('regime_models') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

-- If several versions have the same first valid day, the last one is in use.
classifying as (

    select distinct on (region, model_id, window_days, valid_from) *
    from versions
    order by region, model_id, window_days, valid_from, version desc

),

in_use as (

    select
        classifying.region,
        classifying.model_id,
        classifying.window_days,
        classifying.version,

        runs.parameters ->> 'instrument_id' as instrument_id,
        runs.parameters -> 'windows' as labelled,
        classifying.trained_from,
        classifying.trained_to,
        classifying.n_windows,
        classifying.training_hash

    from classifying
    inner join runs
        on classifying.run_id = runs.run_id

),

-- The run's parameters have them as LABEL=FROM:TO.
stretches as (

    select
        in_use.region,
        in_use.model_id,
        in_use.window_days,
        in_use.version,

        in_use.instrument_id,
        split_part(stretch, '=', 1) as label,
        split_part(split_part(stretch, '=', 2), ':', 1)::date as start_date,
        split_part(split_part(stretch, '=', 2), ':', 2)::date as end_date

    from in_use
    cross join jsonb_array_elements_text(in_use.labelled) as stretch

    union all

    select
        region,
        model_id,
        window_days,
        version,

        instrument_id,
        '' as label,
        trained_from as start_date,
        trained_to as end_date

    from in_use
    where labelled = '[]'

),

trained as (

    select
        instrument_id,
        model_id,
        window_days,

        min(start_date) as start_date,
        max(end_date) as end_date

    from stretches
    group by instrument_id, model_id, window_days

),

running as materialized (

    {{ running_hashes('features') }}

),

windows as materialized (

    select
        trained.instrument_id,
        trained.model_id,
        trained.window_days,
        until_last.trade_date as as_of_date,

        {{ window_hash_between('until_first', 'until_last') }} as window_hash

    from trained
    inner join running as until_last
        on
            trained.instrument_id = until_last.instrument_id
            and trained.window_days <= until_last.day_number
            and until_last.trade_date between trained.start_date and trained.end_date
    left join running as until_first
        on
            until_last.instrument_id = until_first.instrument_id
            and until_last.day_number - trained.window_days = until_first.day_number

),

trainings as (

    select
        stretches.region,
        stretches.model_id,
        stretches.window_days,
        stretches.version,

        count(*) as n_windows_today,
        encode(
            sha256(
                convert_to(
                    string_agg(
                        concat_ws(
                            ' ',
                            stretches.label,
                            to_char(windows.as_of_date, 'YYYY-MM-DD'),
                            windows.window_hash
                        ) || e'\n',
                        ''
                        order by windows.as_of_date
                    ),
                    'UTF8'
                )
            ),
            'hex'
        ) as training_hash_today

    from stretches
    inner join windows
        on
            stretches.instrument_id = windows.instrument_id
            and stretches.model_id = windows.model_id
            and stretches.window_days = windows.window_days
            and windows.as_of_date between stretches.start_date and stretches.end_date
    group by stretches.region, stretches.model_id, stretches.window_days, stretches.version

),

restated as (

    select
        in_use.*,
        trainings.n_windows_today,
        trainings.training_hash_today

    from in_use
    left join trainings using (region, model_id, window_days, version)
    where
        (in_use.n_windows, in_use.training_hash)
        is distinct from (trainings.n_windows_today, trainings.training_hash_today)

)

select * from restated
order by region, model_id, window_days, version
