-- If two good rows of a key differ in a column that the files of both have, all good rows of the key
-- are refused.
with

files as (

    select
        file_number,
        file_name,
        columns
    from unnest(%(numbers)s::integer[], %(names)s::text[], %(columns)s::text[])
        as files (file_number, file_name, columns)

),

repeated as (

    select
        instrument_id,
        trade_date
    from staged_prices
    where reason is null
    group by instrument_id, trade_date
    having count(*) > 1

),

rows_of_repeated as (

    select
        staged_prices.*,
        ({values}) as signature,
        string_to_array(files.columns, ',') as columns
    from repeated
    inner join staged_prices using (instrument_id, trade_date)
    inner join files using (file_number)
    where staged_prices.reason is null

),

contradicted as (

    select
        instrument_id,
        trade_date,
        (array_agg(signature order by file_number, line_number, column_number))[1] as first_signature
    from rows_of_repeated
    group by instrument_id, trade_date
    having {differ}

),

rows_of_contradicted as (

    select
        file_number,
        line_number,
        column_number,
        instrument_id,
        trade_date,
        signature = first_signature as is_like_first
    from rows_of_repeated
    inner join contradicted using (instrument_id, trade_date)

),

-- For each key, the first row with the first values and the first row with other values.
named as (

    select distinct on (instrument_id, trade_date, is_like_first)
        instrument_id,
        trade_date,
        is_like_first,
        file_number,
        line_number,
        file_name
    from rows_of_contradicted
    inner join files using (file_number)
    order by instrument_id, trade_date, is_like_first, file_number, line_number, column_number

)

update staged_prices
set reason = 'the same instrument and date with different values on line ' || named.line_number
    || case when named.file_number <> refused.file_number then ' of ' || named.file_name else '' end
from rows_of_contradicted as refused
inner join named
    on named.instrument_id = refused.instrument_id
    and named.trade_date = refused.trade_date
    and named.is_like_first <> refused.is_like_first
where staged_prices.file_number = refused.file_number
    and staged_prices.line_number = refused.line_number
    and staged_prices.column_number = refused.column_number
