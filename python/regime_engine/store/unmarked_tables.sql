-- The table of the embeddings, or those of its partitions, that a vacuum is worth its time for, and
-- that the login may vacuum.
select nspname, relname
from (
    select %(table)s::regclass as oid
    union
    select relid from pg_partition_tree(%(table)s::regclass)
) as parts
inner join pg_class using (oid)
inner join pg_namespace on pg_namespace.oid = relnamespace
cross join lateral (
    select pg_relation_size(parts.oid) / current_setting('block_size')::integer
) as size (pages)
where
    relkind = 'r'
    and {may_vacuum}
    and (
        pages - relallvisible > %(most)s * pages
        or pg_stat_get_dead_tuples(parts.oid) > %(most)s * greatest(reltuples, 0)
    )
order by 1, 2
