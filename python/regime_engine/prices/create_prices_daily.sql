create table {prices} (
    instrument_id text not null,
    trade_date date not null,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    adjusted_close double precision,
    volume double precision,
    currency text,
    metadata jsonb,
    loaded_at timestamptz not null default now(),
    primary key (instrument_id, trade_date)
)
