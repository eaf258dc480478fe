-- What dbt has built in the project's schemas, partitions of the embeddings included, and
-- regime_builder does not own.
select nspname, relname
from pg_class
inner join pg_namespace on pg_namespace.oid = relnamespace
where
    relkind in ('r', 'p', 'v', 'm')
    and (
        nspname = any(%(built)s)
        or (nspname = %(runtime)s and relname = any(%(tables)s))
        or (nspname = %(historical)s and relname = %(embeddings)s)
        or pg_class.oid in (
            select relid
            from pg_partition_tree(
                to_regclass(format('%%I.%%I', %(historical)s::text, %(embeddings)s::text))
            )
        )
    )
    and relowner <> (select oid from pg_roles where rolname = %(builder)s)
