{# The rows that are stored, and what revisions say of rows that were: by which run a row was
   written, and by which it was replaced. #}
with

engine_rows as (

    select * from {{ ref('engine_rows') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

-- What each run was asked for. A parameter that is missing or unreadable is null, and no row agrees
-- with it; one that was left open is no limit.
asked as materialized (

    select
        run_id,
        command,
        status,
        started_at,
        finished_at,
        parameters,

        parameters ->> 'region' as region,
        parameters ->> 'instrument_id' as instrument_id,
        parameters ->> 'classifier' as classifier,
        model_id,
        {{ count_or_null("(parameters -> 'window_days')") }} as window_days,
        {{ count_or_null("(parameters -> 'model_version')") }} as model_version,
        parameters -> 'classify' = 'true' as classifies,
        parameters -> 'instrument_ids' = '"all"' as is_of_all,
        case
            when command = 'run' then {{ day_or_null("(parameters -> 'as_of')") }}
            when parameters -> 'start' = 'null' then '-infinity'::date
            else {{ day_or_null("(parameters -> 'start')") }}
        end as start_date,
        case
            when command = 'run' then {{ day_or_null("(parameters -> 'as_of')") }}
            when parameters -> 'end' = 'null' then 'infinity'::date
            else {{ day_or_null("(parameters -> 'end')") }}
        end as end_date

    from runs

),

listed as (

    select distinct
        asked.run_id,
        instrument.value as instrument_id

    from asked
    cross join lateral jsonb_array_elements_text(
        case
            when jsonb_typeof(asked.parameters -> 'instrument_ids') = 'array'
                then asked.parameters -> 'instrument_ids'
            else '[]'
        end
    ) as instrument (value)

),

written as (

    select
        table_name,
        entity_or_region,
        region,
        instrument_id,
        as_of_date,
        model_id,
        window_days,
        version,

        is_of_version_given,
        classifier,
        created_at,
        run_id,
        'it is stored' as what

    from engine_rows

    union all

    {% for what in ['it was stored', 'it was replaced'] %}
    select
        table_name,
        coalesce(old_row ->> 'entity_id', old_row ->> 'region') as entity_or_region,
        old_row ->> 'region' as region,
        coalesce(old_row ->> 'entity_id', old_row ->> 'instrument_id') as instrument_id,
        {{ day_or_null("(old_row -> 'as_of_date')") }} as as_of_date,
        old_row ->> 'model_id' as model_id,
        {{ count_or_null("(old_row -> 'window_days')") }} as window_days,
        {{ count_or_null("(old_row -> 'model_version')") }} as version,

        case when table_name = 'regimes' then old_row -> 'metadata' ? 'version_given' end
            as is_of_version_given,
        null as classifier,
        {% if what == 'it was stored' %}
        {{ moment_or_null("(old_row -> 'created_at')") }} as created_at,
        {{ uuid_or_null("(old_row -> 'run_id')") }} as run_id,
        {% else %}
        revised_at as created_at,
        new_run_id as run_id,
        {% endif %}
        '{{ what }}' as what

    from revisions
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- The versions that a fit stored before it failed; the next fit takes them over.
left_behind as (

    select distinct
        versions.region,
        versions.model_id,
        versions.window_days,
        versions.version

    from versions
    inner join asked
        on
            versions.region = asked.region
            and versions.model_id = asked.model_id
            and versions.window_days = asked.window_days
            and versions.created_at >= asked.started_at
            and versions.created_at <= coalesce(asked.finished_at, 'infinity')
    where
        asked.command = 'fit'
        and asked.status <> 'SUCCEEDED'

),

judged as (

    select
        written.table_name,
        written.what,
        written.region,
        written.instrument_id,
        written.as_of_date,
        written.model_id,
        written.window_days,
        written.version,

        case
            when
                case written.table_name
                    when 'numeric_window_embeddings'
                        then asked.command in ('run', 'backfill', 'embed')
                    when 'regime_models' then asked.command = 'fit'
                    else
                        case
                            when {{ is_voted('written.region') }}
                                then asked.command in ('global', 'forget')
                            when asked.command = 'embed' then asked.classifies
                            -- `regime forget` derives transitions without what it removed.
                            when asked.command = 'forget'
                                then written.table_name = 'regime_transitions'
                            else asked.command in ('run', 'backfill')
                        end
                end is not true
                then
                    case
                        when asked.command = 'forget' then 'the run only removed rows'
                        else 'the run writes no such rows'
                    end
            when
                written.table_name <> 'numeric_window_embeddings'
                and asked.command <> 'forget'
                and coalesce(
                    written.region <> case
                        -- There each instrument is a region of its own.
                        when asked.command = 'embed'
                            then coalesce(written.instrument_id, written.region)
                        else asked.region
                    end,
                    true
                )
                then 'the run was of another region'
            when
                asked.command = 'embed'
                and asked.is_of_all is not true
                and listed.instrument_id is null
                then 'the run was of another instrument'
            when
                asked.command in ('run', 'backfill', 'global')
                and written.table_name in ('numeric_window_embeddings', 'regimes')
                -- A region's rows of another instrument are replaced too.
                and not (written.table_name = 'regimes' and written.what = 'it was replaced')
                and (written.instrument_id is distinct from asked.instrument_id)
                then 'the run was of another instrument'
            when
                asked.command <> 'forget'
                and (written.model_id is distinct from asked.model_id)
                then 'the run was of another model_id'
            when
                asked.command <> 'forget'
                and (written.window_days is distinct from asked.window_days)
                then 'the run was of another window length'
            when
                written.table_name = 'regime_models'
                and (written.classifier is distinct from asked.classifier)
                then 'the run was of another classifier'
            when
                asked.command in ('run', 'backfill', 'embed')
                -- Not of transitions: the row after a run's last date can become a change of label,
                -- or stop being one.
                and written.table_name in ('numeric_window_embeddings', 'regimes')
                and (written.as_of_date between asked.start_date and asked.end_date) is not true
                then 'the run was of other dates'
            when
                written.table_name = 'regimes'
                and written.what <> 'it was replaced'
                and (
                    written.is_of_version_given <> (asked.model_version is not null)
                    or written.version <> asked.model_version
                )
                then 'the run was not asked for this model version'
            when written.created_at is null then 'it does not say when it was written'
            when
                written.created_at > coalesce(asked.finished_at, clock_timestamp())
                or (
                    written.created_at < asked.started_at
                    and (written.table_name <> 'regime_models' or left_behind.version is null)
                )
                then 'the run was not under way when the row was written'
            when
                written.table_name = 'regimes'
                and written.what <> 'it was replaced'
                and written.created_at < versions.created_at
                then 'its model version was stored later'
            when
                written.what = 'it was stored'
                and written.version > 0
                and versions.version is null
                then 'its model version is gone'
        end as fault,
        written.created_at,
        asked.started_at,
        asked.finished_at,
        asked.command,
        asked.parameters,
        asked.run_id

    from written
    inner join asked
        on written.run_id = asked.run_id
    left join listed
        on
            written.run_id = listed.run_id
            and written.entity_or_region = listed.instrument_id
    left join versions
        on
            written.region = versions.region
            and written.model_id = versions.model_id
            and written.window_days = versions.window_days
            and written.version = versions.version
    left join left_behind
        on
            versions.region = left_behind.region
            and versions.model_id = left_behind.model_id
            and versions.window_days = left_behind.window_days
            and versions.version = left_behind.version

),

faulty as (

    select * from judged
    where fault is not null

)

select * from faulty
order by table_name, region, instrument_id, as_of_date
