{# No hash of the vector is used here: the numbers that an encoder copies unchanged (var encoders),
   the dates and the returns are compared with the rows of the window. Returns have to be decoded,
   which takes longer than all the rest. If there are more windows than this, only every second,
   third … return is decoded of the windows that no regime was classified from. #}
{%- set windows_in_full = 20000 %}
with

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

encoded as (

    select distinct
        entity_id as instrument_id,
        model_id

    from embeddings

),

instruments as materialized (

    {{ features_of_windows('features', 'encoded') }}

),

-- Powers of 2, by the exponent of a float32.
exponents as materialized (

    select
        array_agg(2::double precision ^ (number - 150) order by number) as powers,
        (select 1 + count(*)::integer / {{ windows_in_full }} from embeddings) as stride

    from generate_series(0, 255) as number

),

classified as (

    select distinct
        instrument_id,
        as_of_date,
        model_id,
        window_days

    from regimes

),

windows as not materialized (

    {{ windows_of_embeddings(
        'embeddings', 'features', ['vector', 'window_hash', 'window_spec', 'run_id']
    ) }}

),

-- The fence keeps the features, which are large values, out of the sorts and hashes of this join.
-- So the scale of a window is computed once, too, and not for each of its returns.
marked as (

    select
        windows.*,
        exponents.powers,
        case when classified.instrument_id is null then exponents.stride else 1 end as stride,
        case
            when
                windows.model_id in ('num-regime-core-v2', 'num-regime-core-v3')
                and octet_length(windows.vector) = 1536
                then {{ encoded_scale(float32_number('windows.vector', 252, 'exponents.powers')) }}
        end as scale

    from windows
    cross join exponents
    left join classified
        on
            windows.entity_id = classified.instrument_id
            and windows.as_of_date = classified.as_of_date
            and windows.model_id = classified.model_id
            and windows.window_days = classified.window_days
    offset 0 -- noqa: AM09, PRS

),

placed as (

    select
        marked.*,
        {{ copied_bytes('marked') }} as bytes,
        {{ expected_bytes('marked', 'instruments') }} as expected_bytes,
        instruments.dates,
        instruments.returns

    from marked
    inner join instruments
        on
            marked.entity_id = instruments.instrument_id
            and marked.model_id = instruments.model_id

),

compared as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        case
            when
                window_spec -> 'first_trade_date'
                <> to_jsonb(dates[day_number - window_days + 1])
                or window_spec -> 'last_trade_date' <> to_jsonb(dates[day_number])
                then 'its dates are those of another window'
            when bytes <> expected_bytes then 'the vector has other features than the window'
            when
                scale is not null
                and exists (
                    select 1
                    from generate_series(day_number % stride, 62, stride) as place
                    where
                        abs(
                            scale * sinh(
                                greatest(
                                    -99,
                                    least(99, {{ float32_number('vector', 'place', 'powers') }})
                                )
                            )
                            - returns[day_number - 62 + place]
                        ) > 1e-6 * (abs(returns[day_number - 62 + place]) + scale)
                ) then 'the vector has other returns than the window'
        end as fault,
        run_id

    from placed

),

differing as materialized (

    select * from compared
    where fault is not null

),

running as materialized (

    {{ running_hashes('features') }}

),

hashed as (

    select
        windows.entity_type,
        windows.entity_id,
        windows.as_of_date,
        windows.model_id,
        windows.window_days,

        windows.day_number,
        windows.run_id,
        windows.window_hash
        = {{ window_hash_between('until_first', 'until_last') }} as is_current

    from windows
    inner join running as until_last
        on
            windows.entity_id = until_last.instrument_id
            and windows.day_number = until_last.day_number
    left join running as until_first
        on
            windows.entity_id = until_first.instrument_id
            and windows.day_number - windows.window_days = until_first.day_number
    where windows.entity_id in (select differing.entity_id from differing)

),

-- A changed price changes all windows that it is in, which lie together. A run reads the prices of
-- an instrument once. So a few changed windows between unchanged ones of the same run are forged.
between_unchanged as (

    select
        *,
        max(day_number) filter (where is_current) over before_it as last_unchanged,
        min(day_number) filter (where is_current) over after_it as next_unchanged

    from hashed
    window
        before_it as (
            partition by entity_type, entity_id, model_id, window_days, run_id
            order by as_of_date
        ),
        after_it as (
            partition by entity_type, entity_id, model_id, window_days, run_id
            order by as_of_date desc
        )

),

-- If the features changed since, embedding_hashes_match_the_features finds the window. Days that
-- were deleted since make the stretch of changed windows a little shorter.
foreign_vectors as (

    select
        differing.entity_type,
        differing.entity_id,
        differing.as_of_date,
        differing.model_id,
        differing.window_days,

        differing.fault,
        differing.run_id

    from differing
    inner join between_unchanged as placed
        on
            differing.entity_type = placed.entity_type
            and differing.entity_id = placed.entity_id
            and differing.as_of_date = placed.as_of_date
            and differing.model_id = placed.model_id
            and differing.window_days = placed.window_days
    where
        placed.is_current
        or placed.next_unchanged - placed.last_unchanged <= differing.window_days - 10

)

select * from foreign_vectors
order by entity_id, as_of_date
