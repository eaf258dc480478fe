-- line_number is the row's first line in a CSV file, or its row in another file. column_number is the
-- place of the instrument in a file that has several in a row, else 1. row_text is the row as the file
-- has it; if it is refused because of another row, what was read of it, as JSON.
create table {refused} (
    file_sha256 text not null,
    line_number bigint not null,
    column_number integer not null,
    file_name text not null,
    instrument_id text,
    trade_date text,
    reason text not null,
    row_text text not null,
    refused_at timestamptz not null default now(),
    primary key (file_sha256, line_number, column_number)
)
