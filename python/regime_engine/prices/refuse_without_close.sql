-- A file without closes only adds to rows that have one.
update staged_prices as staged
set reason = 'close is missing: load the closes first'
where staged.file_number = %(file_number)s
    and staged.reason is null
    and not exists (
        select 1
        from stored_prices as stored
        where stored.instrument_id = staged.instrument_id
            and stored.trade_date = staged.trade_date
            and stored.close is not null
    )
