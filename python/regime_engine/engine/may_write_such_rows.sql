-- The condition on the runs that could write rows of what is forgotten: all but those that say that
-- they are of other regions and instruments.
not coalesce(
    command <> 'global'
    and parameters ->> 'region' <> all({regions}::text[])
    and parameters ->> 'instrument_id' <> all({instruments}::text[]),
    false
)
