{# No hash of the vector is used here: the numbers that an encoder copies unchanged (var encoders)
   are compared with the rows of the window. #}
with

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

encoded as (

    select distinct
        entity_id as instrument_id,
        model_id

    from embeddings

),

repeated as materialized (

    {{ repeated_features('features', 'encoded') }}

),

windows as (

    {{ windows_of_embeddings('embeddings', 'features', ['vector', 'window_hash', 'run_id']) }}

),

compared as (

    select
        windows.entity_type,
        windows.entity_id,
        windows.as_of_date,
        windows.model_id,
        windows.window_days,

        windows.day_number,
        windows.window_hash,
        windows.run_id,
        substring(
            windows.vector
            from repeated.bytes_before + repeated.unlike_rows * repeated.row_bytes + 1
            for (windows.window_days - repeated.unlike_rows) * repeated.row_bytes
        ) as bytes,
        substring(
            repeated.bytes
            from
            (windows.day_number - windows.window_days + repeated.unlike_rows) * repeated.row_bytes
            + 1
            for (windows.window_days - repeated.unlike_rows) * repeated.row_bytes
        ) as expected_bytes

    from windows
    inner join repeated
        on
            windows.entity_id = repeated.instrument_id
            and windows.model_id = repeated.model_id

),

-- A short vector may end before its window does.
differing as materialized (

    select * from compared
    where bytes <> substring(expected_bytes from 1 for octet_length(bytes))

),

running as materialized (

    {{ running_hashes('features') }}

),

-- If the features changed since, embedding_hashes_match_the_features finds the window.
foreign_vectors as (

    select distinct
        differing.entity_type,
        differing.entity_id,
        differing.as_of_date,
        differing.model_id,
        differing.window_days,

        differing.run_id

    from differing
    inner join running as until_last
        on
            differing.entity_id = until_last.instrument_id
            and differing.day_number = until_last.day_number
    left join running as until_first
        on
            differing.entity_id = until_first.instrument_id
            and differing.day_number - differing.window_days = until_first.day_number
    where differing.window_hash = {{ window_hash_between('until_first', 'until_last') }}

)

select * from foreign_vectors
order by entity_id, as_of_date
