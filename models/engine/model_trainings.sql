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

fitted as (

    select
        versions.region,
        versions.model_id,
        versions.window_days,
        versions.version,

        runs.parameters ->> 'instrument_id' as instrument_id,
        versions.trained_from,
        versions.trained_to,
        versions.n_windows,
        versions.training_hash,
        versions.valid_from,
        versions.labels,
        versions.metrics ? 'states_tried' as has_chosen_states,
        versions.created_at,
        versions.run_id,
        runs.started_at,

        {{ day_or_null("(runs.parameters -> 'start')") }} as start_date,
        {{ day_or_null("(runs.parameters -> 'end')") }} as end_date,
        {{ day_or_null("(runs.parameters -> 'valid_from')") }} as valid_from_asked,
        {{ count_or_null("(runs.parameters -> 'states')") }} as states,
        {{ count_or_null("(runs.parameters -> 'every_months')") }} as every_months,
        {{ count_or_null("(runs.parameters -> 'train_years')") }} as train_years,
        runs.parameters ? 'every_months' as is_walk_forward,
        case
            when {{ is_of_kind("(runs.parameters -> 'windows')", 'stretches') }}
                then runs.parameters -> 'windows'
            else '[]'
        end as labelled

    from versions
    inner join runs
        on versions.run_id = runs.run_id

),

-- The days that the run was asked to train on; it has labelled ones as LABEL=FROM:TO.
stretches as (

    select
        fitted.region,
        fitted.model_id,
        fitted.window_days,
        fitted.version,

        fitted.instrument_id,
        split_part(stretch.value #>> '{}', '=', 1) as label,
        {{ day_or_null("to_jsonb(substring(stretch.value #>> '{}' from '=(.+):'))") }}
            as start_date,
        {{ day_or_null("to_jsonb(substring(stretch.value #>> '{}' from ':(.+)$'))") }}
            as end_date

    from fitted
    cross join lateral jsonb_array_elements(fitted.labelled) as stretch (value)

    union all

    select
        region,
        model_id,
        window_days,
        version,

        instrument_id,
        '' as label,
        case
            when is_walk_forward and train_years is not null
                then
                    -- As Python subtracts years from a 29 February.
                    (
                        valid_from
                        - (to_char(valid_from, 'MM-DD') = '02-29')::integer
                        - make_interval(years => train_years)
                    )::date
            when is_walk_forward then '-infinity'
            else coalesce(start_date, '-infinity')
        end as start_date,
        case
            when is_walk_forward then valid_from - 1
            else coalesce(end_date, trained_to)
        end as end_date

    from fitted
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

        concat(
            ' ',
            to_char(until_last.trade_date, 'YYYY-MM-DD'),
            ' ',
            {{ window_hash_between('until_first', 'until_last') }},
            e'\n'
        ) as line

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

        min(windows.as_of_date) as trained_from_today,
        max(windows.as_of_date) as trained_to_today,
        count(*)::integer as n_windows_today,
        encode(
            sha256(
                convert_to(
                    string_agg(stretches.label || windows.line, '' order by windows.as_of_date),
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

)

select
    fitted.*,
    trainings.trained_from_today,
    trainings.trained_to_today,
    trainings.n_windows_today,
    trainings.training_hash_today

from fitted
left join trainings using (region, model_id, window_days, version)
