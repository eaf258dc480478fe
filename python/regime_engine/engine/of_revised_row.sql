stored.table_name = {table_name}
and exists (
    select 1
    from jsonb_to_record(stored.old_row) as stored (
        entity_type text,
        entity_id text,
        region text,
        instrument_id text,
        as_of_date date,
        model_id text,
        window_days integer,
        run_id uuid
    )
    where {condition}
)
