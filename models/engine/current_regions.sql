-- depends_on: {{ ref('daily_features') }}

with

seed as (

    select * from {{ ref('regions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

-- The columns weight and description through jsonb, because a team's seed may lack them.
seeded as (

    select
        region,
        instrument_id,
        to_jsonb(seed) ->> 'description' as description,
        (to_jsonb(seed) ->> 'weight')::double precision as weight

    from seed

),

commanded as (

    select distinct on (parameters ->> 'region')
        parameters ->> 'region' as region,
        parameters ->> 'instrument_id' as instrument_id,
        parameters ->> 'description' as description,
        case
            when jsonb_typeof(parameters -> 'weight') = 'number'
                then (parameters ->> 'weight')::double precision
        end as weight,

        command = 'region remove' as is_removed,
        started_at as changed_at,
        database_user as changed_by,
        run_id

    from runs
    where
        command in ('region add', 'region remove')
        and status = 'SUCCEEDED'
    order by parameters ->> 'region', started_at desc, run_id

),

-- A command counts more than the seed, so that `dbt seed` never undoes it.
laid_over as (

    select
        region,

        coalesce(commanded.instrument_id, seeded.instrument_id) as instrument_id,
        case when commanded.run_id is null then seeded.description else commanded.description end
            as description,
        case when commanded.run_id is null then seeded.weight else commanded.weight end as weight,

        commanded.changed_at,
        commanded.changed_by,
        commanded.run_id

    from seeded
    full join commanded using (region)
    where not coalesce(commanded.is_removed, false)

)

select * from laid_over
