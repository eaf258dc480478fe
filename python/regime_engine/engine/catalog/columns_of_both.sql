-- The columns that a seed's table and its temporary copy have in common.
select attname::text
from pg_attribute
inner join pg_attribute as expected using (attname)
where
    pg_attribute.attrelid = to_regclass(%(table)s)
    and expected.attrelid = to_regclass(%(candidate)s)
    and pg_attribute.attnum > 0
    and not pg_attribute.attisdropped
    and pg_attribute.atttypid = expected.atttypid
order by attname
