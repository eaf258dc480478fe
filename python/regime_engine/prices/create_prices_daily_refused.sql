-- line_number is the row's first line in a CSV file, or its row in a Parquet file.
create table {refused} (
    file_sha256 text not null,
    line_number bigint not null,
    file_name text not null,
    instrument_id text,
    trade_date text,
    reason text not null,
    row_text text not null,
    refused_at timestamptz not null default now(),
    primary key (file_sha256, line_number)
)
