-- Whether the table has a unique index on exactly the key that finds an instrument, and a default load
-- time if it has any.
select
    exists (
        select 1
        from pg_index
        where indrelid = %(prices)s::regclass
            and indisunique
            and indisvalid
            and indpred is null
            and (
                select array_agg(attname::text order by attname)
                from pg_attribute
                where attrelid = indrelid
                    and attnum = any (indkey)
            ) = %(key)s
            and indkey[0] = (
                select attnum
                from pg_attribute
                where attrelid = indrelid
                    and attname = 'instrument_id'
            )
    )
    and not exists (
        select 1
        from pg_attribute
        where attrelid = %(prices)s::regclass
            and attname = 'loaded_at'
            and not atthasdef
    )
