-- depends_on: {{ ref('daily_features') }}

with

embeddings as (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as (

    select * from {{ ref('regimes') }}

),

versions as (

    select * from {{ ref('regime_models') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

-- A line for each row that a run wrote, whether it is in force or kept as a revision. Transitions
-- have none: they follow from the regimes, and a replaced one is not kept.
lines as (

    select
        run_id,
        'numeric_window_embeddings' as table_name,
        entity_id as entity_or_region,
        row_hash || ' ' || extract(epoch from created_at) as line

    from embeddings

    union all

    select
        run_id,
        'regimes' as table_name,
        region as entity_or_region,
        row_hash || ' ' || extract(epoch from created_at) as line

    from regimes

    union all

    select
        {{ uuid_or_null("(old_row -> 'run_id')") }} as run_id,
        table_name,
        coalesce(old_row ->> 'region', old_row ->> 'entity_id') as entity_or_region,
        (old_row ->> 'row_hash')
        || ' '
        || extract(epoch from {{ moment_or_null("(old_row -> 'created_at')") }}) as line

    from revisions

    union all

    select
        run_id,
        'regime_models' as table_name,
        region as entity_or_region,
        parameters_hash || ' ' || extract(epoch from created_at) as line

    from versions

    union all

    select
        new_run_id as run_id,
        'regime_revisions' as table_name,
        coalesce(key ->> 'region', key ->> 'entity_id') as entity_or_region,
        row_hash as line

    from revisions

),

hashed as (

    select
        run_id,
        table_name,
        entity_or_region,

        count(*)::integer as n_rows,
        encode(
            sha256(convert_to(string_agg(line, e'\n' order by line collate "C"), 'UTF8')), 'hex'
        ) as sha256

    from lines
    group by run_id, table_name, entity_or_region

)

select * from hashed
