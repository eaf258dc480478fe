insert into {refused}
    (
        file_sha256, line_number, column_number, file_name,
        instrument_id, trade_date, reason, row_text
    )
select
    %(file_sha256)s, line_number, column_number, %(file_name)s,
    instrument_id, written_date, reason,
    coalesce(
        row_text,
        jsonb_strip_nulls(
            to_jsonb(staged_prices) - array[
                'file_number', 'line_number', 'column_number', 'written_date', 'reason'
            ]
        )::text
    )
from staged_prices
where file_number = %(file_number)s
    and reason is not null
order by line_number, column_number
on conflict do nothing
