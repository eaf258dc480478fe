with

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as not materialized (

    select * from {{ ref('regime_runs') }}

),

in_force as not materialized (

    select
        region,
        model_id,
        window_days,
        model_version,
        run_id,

        count(*) as rows_in_force,
        min(as_of_date) as first_date,
        max(as_of_date) as last_date

    from regimes
    group by region, model_id, window_days, model_version, run_id

),

old_regimes as not materialized (

    select
        old_row ->> 'region' as region,
        old_row ->> 'model_id' as model_id,
        (old_row ->> 'window_days')::integer as window_days,
        (old_row ->> 'model_version')::integer as model_version,
        (old_row ->> 'run_id')::uuid as run_id

    from revisions
    where table_name = 'regimes'

),

replaced as not materialized (

    select
        region,
        model_id,
        window_days,
        model_version,
        run_id,

        count(*) as rows_replaced

    from old_regimes
    group by region, model_id, window_days, model_version, run_id

),

written as (

    select
        region,
        model_id,
        window_days,
        model_version,
        run_id,

        sum(rows_in_force) as rows_in_force,
        min(first_date) as first_date,
        max(last_date) as last_date,
        sum(rows_replaced) as rows_replaced

    from (

        select
            *,
            0 as rows_replaced
        from in_force

        union all

        select
            region,
            model_id,
            window_days,
            model_version,
            run_id,

            0 as rows_in_force,
            null as first_date,
            null as last_date,
            rows_replaced
        from replaced

    ) as all_rows
    group by region, model_id, window_days, model_version, run_id

    union all

    -- Versions by which no stored regime was ever classified.
    select
        region,
        model_id,
        window_days,
        version as model_version,
        null as run_id,

        0 as rows_in_force,
        null as first_date,
        null as last_date,
        0 as rows_replaced

    from versions
    where
        not exists (
            select 1
            from in_force
            where
                in_force.region = versions.region
                and in_force.model_id = versions.model_id
                and in_force.window_days = versions.window_days
                and in_force.model_version = versions.version
        )
        and not exists (
            select 1
            from replaced
            where
                replaced.region = versions.region
                and replaced.model_id = versions.model_id
                and replaced.window_days = versions.window_days
                and replaced.model_version = versions.version
        )

),

lineage as (

    select
        written.region,
        written.model_id,
        written.window_days,
        written.model_version,
        written.run_id as classified_by_run_id,

        written.rows_in_force::integer as rows_in_force,
        written.first_date,
        written.last_date,
        written.rows_replaced::integer as rows_replaced,
        classifying.command as classified_by_command,
        classifying.database_user as classified_by_user,
        classifying.started_at as classified_at,

        case
            when {{ is_voted('written.region') }} then 'vote'
            when written.model_version = 0 then 'seed rule'
            else versions.classifier
        end as classifier,
        versions.labels,
        versions.trained_from,
        versions.trained_to,
        versions.n_windows,
        versions.training_hash,
        versions.valid_from,
        versions.run_id as fitted_by_run_id,
        fitting.database_user as fitted_by_user,
        fitting.started_at as fitted_at

    from written
    left join versions
        on
            written.region = versions.region
            and written.model_id = versions.model_id
            and written.window_days = versions.window_days
            and written.model_version = versions.version
    left join runs as classifying on written.run_id = classifying.run_id
    left join runs as fitting on versions.run_id = fitting.run_id

)

select * from lineage
