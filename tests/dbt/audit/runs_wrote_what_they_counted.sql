{# A run's count of a table must equal the rows that it wrote and that are still in force, plus
   those that later runs replaced and kept as revisions, plus those that `regime forget` removed and
   counted by run. Two counts are only upper limits: that of
   transitions, which have no revisions and whose count includes removed rows, and every count of a
   failed run, whose rows the next run takes over. A run with fewer rows than it counted has lost
   some. For such a run the test lists the days for which no table has a row from before the run
   ended. #}
with

runs as (

    select * from {{ ref('regime_runs') }}

),

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

transitions as (

    select * from {{ ref('regime_transitions') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

revisions as not materialized (

    select * from {{ ref('regime_revisions') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

accounted as (

    select
        'numeric_window_embeddings' as table_name,
        run_id,
        count(*) as n_rows
    from embeddings
    group by run_id

    union all

    select
        'regimes' as table_name,
        run_id,
        count(*) as n_rows
    from regimes
    group by run_id

    union all

    select
        'regime_transitions' as table_name,
        run_id,
        count(*) as n_rows
    from transitions
    group by run_id

    union all

    -- The versions that the run took over from a failed run are left out.
    select
        'regime_models' as table_name,
        versions.run_id,
        count(*) as n_rows
    from versions
    inner join runs
        on
            versions.run_id = runs.run_id
            and versions.created_at >= runs.started_at
    group by versions.run_id

    union all

    select
        table_name,
        {{ uuid_or_null("(old_row -> 'run_id')") }} as run_id,
        count(*) as n_rows
    from revisions
    group by table_name, {{ uuid_or_null("(old_row -> 'run_id')") }}

    union all

    select
        replace(removed.key, 'revisions of ', '') as table_name,
        runs.run_id,
        {{ count_or_null('of_run.value') }} as n_rows
    from runs as forgets
    cross join jsonb_each({{ object_or_empty('forgets.rows_removed') }}) as removed
    cross join jsonb_each({{ object_or_empty('removed.value') }}) as of_run
    inner join runs
        on runs.run_id::text = of_run.key
    where forgets.command = 'forget'

),

found as (

    select
        run_id,
        table_name,
        sum(n_rows) as rows_found

    from accounted
    group by run_id, table_name

),

counted as (

    select
        runs.run_id,
        counts.key as table_name,
        {{ count_or_null('counts.value') }} as rows_counted

    from runs
    cross join jsonb_each({{ object_or_empty('runs.rows_written') }}) as counts

),

compared as (

    select
        run_id,
        table_name,

        coalesce(counted.rows_counted, 0) as rows_counted,
        coalesce(found.rows_found, 0) as rows_found

    from counted
    full join found using (run_id, table_name)

),

differing as (

    select
        compared.*,
        runs.command,
        runs.status,
        runs.finished_at,
        runs.parameters ->> 'region' as region,
        runs.parameters ->> 'instrument_id' as instrument_id,
        runs.model_id,
        {{ count_or_null("(runs.parameters -> 'window_days')") }} as window_days,
        coalesce(
            {{ day_or_null("(runs.parameters -> 'as_of')") }},
            {{ day_or_null("(runs.parameters -> 'start')") }},
            '-infinity'
        ) as start_date,
        coalesce(
            {{ day_or_null("(runs.parameters -> 'as_of')") }},
            {{ day_or_null("(runs.parameters -> 'end')") }},
            'infinity'
        ) as end_date

    from compared
    inner join runs
        on compared.run_id = runs.run_id
    where
        compared.rows_found > compared.rows_counted
        or (
            compared.rows_found < compared.rows_counted
            and runs.status = 'SUCCEEDED'
            and compared.table_name <> 'regime_transitions'
        )

),

days as (

    select
        differing.*,
        features.trade_date as as_of_date

    from differing
    inner join features
        on
            differing.instrument_id = features.instrument_id
            and features.trade_date between differing.start_date and differing.end_date
            and differing.window_days <= features.day_number
    where
        differing.rows_found < differing.rows_counted
        and differing.command in ('run', 'backfill')

    union

    select
        differing.*,
        differing.start_date as as_of_date

    from differing
    where
        differing.rows_found < differing.rows_counted
        and differing.command = 'run'

),

there as (

    select
        days.run_id,
        days.table_name,
        days.as_of_date

    from days
    inner join embeddings
        on
            days.table_name = 'numeric_window_embeddings'
            and embeddings.entity_type = 'INSTRUMENT'
            and days.instrument_id = embeddings.entity_id
            and days.as_of_date = embeddings.as_of_date
            and days.model_id = embeddings.model_id
            and days.window_days = embeddings.window_days
            and days.finished_at >= embeddings.created_at

    union

    select
        days.run_id,
        days.table_name,
        days.as_of_date

    from days
    inner join regimes
        on
            days.table_name = 'regimes'
            and days.region = regimes.region
            and days.as_of_date = regimes.as_of_date
            and days.model_id = regimes.model_id
            and days.window_days = regimes.window_days
            and days.finished_at >= regimes.created_at

    union

    select
        days.run_id,
        days.table_name,
        days.as_of_date

    from days
    inner join revisions
        on
            days.table_name = revisions.table_name
            and revisions.key @> jsonb_build_object(
                'as_of_date', days.as_of_date,
                'model_id', days.model_id,
                'window_days', days.window_days
            )
            and coalesce(revisions.key ->> 'region', revisions.key ->> 'entity_id')
            in (days.region, days.instrument_id)
            and days.finished_at >= {{ moment_or_null("(revisions.old_row -> 'created_at')") }}
            and days.finished_at < revisions.revised_at

),

lost as (

    select days.*

    from days
    left join there using (run_id, table_name, as_of_date)
    where there.run_id is null

),

judged as (

    select
        differing.table_name,
        differing.region,
        differing.instrument_id,
        lost.as_of_date,
        differing.model_id,
        differing.window_days,

        case
            when differing.rows_found > differing.rows_counted
                then 'there are more rows of the run than it counted'
            when lost.as_of_date is null
                then 'there are fewer rows of the run than it counted'
            else 'the row of this day that was there when the run ended is gone'
        end as fault,
        differing.rows_counted,
        differing.rows_found,
        differing.command,
        differing.status,
        differing.run_id

    from differing
    left join lost using (run_id, table_name)

)

select * from judged
order by run_id, table_name, as_of_date
